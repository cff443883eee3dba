import { isDeepStrictEqual } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../support/flowkeep.js'
import { invalidPaths } from '../support/refusal.js'
import { existing, type Subject, useFixture } from './fixture.js'

/** A value inside so many containers. */
function nested(depth: number, open: string, close: string): Json {
  return JSON.parse(open.repeat(depth) + (open === '[' ? '' : '1') + close.repeat(depth)) as Json
}

const exotic: Readonly<Record<string, Json>> = {
  'an empty object': {},
  'an empty list': [],
  'empty lists in lists': [[], [[]], [{}]],
  'an empty key': { '': { '': 1 } },
  'a key with a dot': { 'a.b': 1, 'a[0]': 2, $ref: 3 },
  'keys that look like numbers': { '10': 'a', '9': 'b', x: 'c' },
  'names of JavaScript': { constructor: 1, toString: 2, hasOwnProperty: 3, length: 4, valueOf: 5 },
  'an own key called __proto__': JSON.parse('{"__proto__":{"polluted":true},"a":1}') as Json,
  'negative zero': -0,
  'the smallest number': 5e-324,
  'the largest number': Number.MAX_VALUE,
  'the largest safe integers': [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
  'numbers that need all their digits': [0.1, 0.30000000000000004, 1 / 3, 1e21, 1e-7, 123456789012345680000],
  'a long integer as text': '9007199254740993',
  'texts that look like other types': ['true', 'null', '1', '1e3', '2026-11-21T00:00:00.000Z', '{}', '[]'],
  'control characters': '\u0000\u0001\b\t\n\u000b\f\r\u001f\u007f\u0080\u2028\u2029\ufeff',
  'quotes and slashes': '"\\/\'`<script>&</script>',
  'many scripts': 'Ωμέγα 漢字 العربية עברית हिन्दी ไทย 한국어',
  'characters beyond the first plane': '\u{1F600}\u{1F468}\u200d\u{1F469}\u200d\u{1F467}\u{10FFFF}',
  'composed and decomposed text': ['\u00e9', 'e\u0301'],
  noncharacters: '\uffff\ufffe\u{1FFFF}',
  'a wide object': Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`key ${i}`, i])),
  'a long list': Array.from({ length: 20_000 }, (_, i) => i),
  '64 objects in each other': nested(63, '{"a":', '}'),
  '64 lists in each other': nested(63, '[', ']'),
  'null, true and false': [null, true, false],
}

const mebibyte = 1024 * 1024

/** JSON of the caller comes back exactly, or is refused with its path. */
export function json(subject: Subject): void {
  describe('the caller’s JSON', () => {
    const fixture = useFixture(subject)

    it.each(Object.entries(exotic))('comes back exactly: %s', async (_, value) => {
      const { storage } = fixture
      const held: JsonObject = { value }
      const session = await fixture.session({ metadata: held })
      const step = await fixture.step({ inputs: held })
      const updated = await storage.updateStep(step.stepId, { result: value })
      const event = await storage.appendEvent(session.sessionId, { type: 'custom:json', data: held })
      const page = await storage.events({ sessionId: session.sessionId, types: ['custom:json'] })
      const read = existing(await storage.getStep(step.stepId))
      const answers: readonly [string, Json | undefined, Json][] = [
        ['created', session.metadata, held],
        ['read', existing(await storage.getSession(session.sessionId)).metadata, held],
        ['listed', existing((await storage.listSessions(session.userId))[0]).metadata, held],
        ['inputs', read.inputs, held],
        ['updated', updated.result, value],
        ['result', read.result, value],
        ['appended', event.data, held],
        ['event', existing(page.items[0]).data, held],
      ]
      const wrong = answers.filter(([, got, given]) => !isDeepStrictEqual(got, given)).map(([name]) => name)
      expect(wrong).toEqual([])
      expect(Object.prototype).not.toHaveProperty('polluted')
    })

    it('comes back when it is as large as it may be', async () => {
      const text = 'x'.repeat(mebibyte - '{"text":""}'.length)
      const session = await fixture.session({ metadata: { text } })
      expect(existing(await fixture.storage.getSession(session.sessionId)).metadata.text === text).toBe(true)
    })

    it.each([
      ['one byte too long', () => 'x'.repeat(mebibyte - '{"text":""}'.length + 1)],
      ['too long in UTF-8, not in characters', () => '\u00e9'.repeat(mebibyte / 2)],
    ])('is refused when it is %s', async (_, text) => {
      const { storage } = fixture
      const step = await fixture.step()
      const metadata = { text: text() }
      expect(await invalidPaths(storage.createSession('large', { metadata }))).toEqual([['metadata']])
      expect(await invalidPaths(storage.updateStep(step.stepId, { inputs: metadata }))).toEqual([['inputs']])
      expect(await invalidPaths(storage.updateStep(step.stepId, { result: metadata }))).toEqual([['result']])
      const event = { type: 'custom:large', data: metadata } as const
      expect(await invalidPaths(storage.appendEvent(step.sessionId, event))).toEqual([['data']])
      expect(await storage.listSessions('large')).toEqual([])
      expect(await storage.getStep(step.stepId)).toEqual(step)
    })

    it.each([
      ['objects', '{"a":', '}'],
      ['lists', '[', ']'],
    ])('is refused when it is more than 64 %s deep', async (_, open, close) => {
      const metadata = { value: nested(65, open, close) }
      const [path = []] = await invalidPaths(fixture.storage.createSession('deep', { metadata }))
      expect(path[0]).toBe('metadata')
      expect(await fixture.storage.listSessions('deep')).toEqual([])
    })

    it.each([
      ['NaN', Number.NaN, ['metadata', 'a', 0]],
      ['Infinity', Number.POSITIVE_INFINITY, ['metadata', 'a', 0]],
      ['a BigInt', 1n, ['metadata', 'a', 0]],
      ['a Date', new Date(), ['metadata', 'a', 0]],
      ['a lone surrogate', '\ud800', ['metadata', 'a', 0]],
      ['undefined in a list', undefined, ['metadata', 'a', 0]],
    ])('is refused with the path of %s', async (_, value, path) => {
      const metadata = { a: [value] } as unknown as JsonObject
      const paths = await invalidPaths(fixture.storage.createSession('odd', { metadata }))
      expect(paths).toEqual([path])
      expect(await fixture.storage.listSessions('odd')).toEqual([])
    })
  })
}
