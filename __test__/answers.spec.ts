// What the face makes of a batch of answers.
import { expect, it } from 'vitest'
import { Answers, answered, ERROR, HELD, NOTHING, UNCHANGED, VALUE } from '../js/answers.js'

/** What each of the calls 0, 1, 2 ... is told when they finish together with these kinds and this text. */
function told(kinds: number[], text: string): unknown[] {
  const calls: unknown[] = []
  const finished = (tickets: Uint32Array): string => {
    tickets[0] = kinds.length
    kinds.forEach((kind, call) => {
      tickets[call + 1] = kind * 2 ** 29 + call
    })
    return text
  }
  const claim = (call: number) => (kind: number, value: unknown, mark?: string) => {
    calls[call] = mark === undefined ? [kind, value] : [kind, value, mark]
  }
  new Answers({ finished }).settle(kinds.length, claim, (count) => expect(count).toBe(kinds.length))
  return calls
}

it('gives each call its own', () => {
  const kinds = [VALUE, UNCHANGED, HELD, NOTHING, ERROR]
  expect(told(kinds, '[1,"7 1abc",{"a":2},{"code":"X"}]')).toEqual([
    [VALUE, 1],
    [UNCHANGED, null],
    [HELD, { a: 2 }, '7 1abc'],
    [NOTHING, null],
    [ERROR, { code: 'X' }],
  ])
})

it('fails the calls of a batch that is no JSON, and throws nothing', () => {
  const unreadable = [ERROR, expect.objectContaining({ code: 'STORAGE_CORRUPT', outcome: 'unknown' })]
  const calls = told([VALUE, UNCHANGED, HELD, NOTHING], '[{"a":},"7 1abc",{}]')
  expect(calls).toEqual([unreadable, [UNCHANGED, null], unreadable, [NOTHING, null]])
})

it('gives a call that did not have to wait its own, or fails it', () => {
  const alone = (text: string) => answered(text, (kind, value, mark) => [kind, value, mark])
  expect(alone('')).toEqual([NOTHING, null, undefined])
  expect(alone('=')).toEqual([UNCHANGED, null, undefined])
  expect(alone('[1]')).toEqual([VALUE, [1], undefined])
  expect(alone('0abc\n{"a":2}')).toEqual([VALUE, { a: 2 }, undefined])
  expect(alone('1abc\n{"a":2}')).toEqual([HELD, { a: 2 }, '7 1abc'])
  expect(alone('!{"code":"X"}')).toEqual([ERROR, { code: 'X' }, undefined])
  for (const text of ['[', '1abc\n{"a":}']) {
    expect(alone(text)).toEqual([ERROR, expect.objectContaining({ code: 'STORAGE_CORRUPT' }), undefined])
  }
})
