import { describe, expect, it } from 'vitest'
import {
  ConflictError,
  type IStorage,
  NotFoundError,
  type StreamEntry,
  type StreamMessage,
  type Streams,
} from '../support/flowkeep.js'
import { invalidPaths, refusal, rejection } from '../support/refusal.js'
import { until } from '../support/until.js'
import { existing, type Subject, useFixture } from './fixture.js'

let streams = 0

/** A stream that no other test has; its name tries to be more than a name. */
const newStream = (): string => `s{${++streams}}:floors%7B`

const ids = (entries: readonly { id: string }[]): string[] => entries.map(({ id }) => id)
const ns = (entries: readonly StreamEntry[]): number[] => entries.map(({ fields }) => Number(fields.n))

async function addAll(of: Streams, name: string, count: number, from = 0): Promise<string[]> {
  const all: string[] = []
  for (let n = from; n < from + count; n++) all.push(await of.add(name, { n: String(n) }))
  return all
}

/** Streams: section 9 of what a storage promises. */
export function streamsOf(subject: Subject): void {
  describe('a stream', () => {
    const fixture = useFixture(subject)
    const of = (): { storage: IStorage; streams: Streams; name: string } => {
      const { storage } = fixture
      return { storage, streams: storage.streams, name: newStream() }
    }

    it('gives entries in the order in which they came, as they were', async () => {
      const { streams, name } = of()
      const given = [{ a: '', b: '\u{1F600}\r\n' }, { n: '9007199254740993' }, { __proto__x: '{}', '': 'x' }]
      expect(await invalidPaths(streams.add(name, given[2] as never))).toContainEqual(['fields', 1])
      const added = [await streams.add(name, given[0] as never), await streams.add(name, given[1] as never)]
      const entries = await streams.read(name)
      expect(entries).toEqual([
        { id: added[0], fields: given[0] },
        { id: added[1], fields: given[1] },
      ])
      expect(await streams.length(name)).toBe(2)
      expect(await streams.read(name, { after: existing(added[0]) })).toEqual(entries.slice(1))
      expect(await streams.read(name, { after: 'end' })).toEqual([])
      expect(ids(await streams.read(name, { limit: 1 }))).toEqual(added.slice(0, 1))
      expect([await streams.delete(name), await streams.delete(name)]).toEqual([true, false])
      expect(await streams.read(name)).toEqual([])
    })

    it('keeps bytes as bytes', async () => {
      const { streams, name } = of()
      const bytes = Uint8Array.from([0, 255, 13, 10])
      await streams.add(name, { raw: bytes, text: 'x' })
      const [mixed] = await streams.read<Record<string, string | Uint8Array>>(name)
      expect(mixed?.fields).toEqual({ raw: bytes, text: 'x' })
      const [all] = await streams.read<Record<string, Uint8Array>>(name, { bytes: true })
      expect(all?.fields).toEqual({ raw: bytes, text: Uint8Array.from([120]) })
    })

    it('takes ids of your own, in order', async () => {
      const { streams, name } = of()
      expect(await streams.add(name, { a: '1' }, { id: '5-1' })).toBe('5-1')
      await refusal(streams.add(name, { a: '2' }, { id: '5-1' }), ConflictError, 'STORAGE_CONFLICT')
      expect(await streams.add(name, { a: '3' }, { id: '5-2' })).toBe('5-2')
      expect(ids(await streams.read(name))).toEqual(['5-1', '5-2'])
    })

    it('a read that waits is woken, ends by its time, and is given up by its signal', async () => {
      const { streams, name } = of()
      const waiting = [
        streams.read(name, { block: true }),
        streams.read(name, { block: true, after: 'end', timeoutSeconds: 20 }),
      ]
      await streams.length(name)
      const id = await streams.add(name, { n: '1' })
      for (const found of await Promise.all(waiting)) expect(ids(found)).toEqual([id])
      const before = performance.now()
      expect(await streams.read(name, { block: true, after: id, timeoutSeconds: 0.2 })).toEqual([])
      expect(performance.now() - before).toBeGreaterThanOrEqual(190)
      expect(await streams.read(name, { block: true, after: id, timeoutSeconds: 0 })).toEqual([])
      const reason = new Error('no longer')
      const controller = new AbortController()
      const given = streams.read(name, { block: true, after: id, signal: controller.signal })
      await streams.length(name)
      controller.abort(reason)
      expect(await rejection(given)).toBe(reason)
    })

    it('a group gives each entry to one consumer until it is acknowledged', async () => {
      const { streams, name } = of()
      await addAll(streams, name, 1)
      expect(await streams.createGroup(name, 'g')).toBe(true)
      expect(await streams.createGroup(name, 'g', { after: 'start' })).toBe(false)
      const [one, two, three] = await addAll(streams, name, 3, 1)
      expect(ns(await streams.readGroup(name, 'g', 'a', { limit: 2 }))).toEqual([1, 2])
      expect(ns(await streams.readGroup(name, 'g', 'b'))).toEqual([3])
      expect(await streams.readGroup(name, 'g', 'b')).toEqual([])
      const waiting = streams.readGroup(name, 'g', 'c', { block: true, timeoutSeconds: 20 })
      await streams.length(name)
      const four = await streams.add(name, { n: '4' })
      expect(ids(await waiting)).toEqual([four])
      const pending = await streams.pending(name, 'g')
      expect(pending.map(({ id, consumer, deliveries }) => [id, consumer, deliveries])).toEqual([
        [one, 'a', 1],
        [two, 'a', 1],
        [three, 'b', 1],
        [four, 'c', 1],
      ])
      expect(ids(await streams.pending(name, 'g', { consumer: 'a', after: existing(one) }))).toEqual([two])
      expect(await streams.pending(name, 'g', { idleSeconds: 3_600 })).toEqual([])
      expect(await streams.ack(name, 'g', [existing(one), existing(three), '9-9'])).toBe(2)
      expect(await streams.ack(name, 'g', existing(one))).toBe(0)
      expect(ns(await streams.claim(name, 'g', 'b', existing(two)))).toEqual([2])
      expect(await streams.claim(name, 'g', 'b', existing(two), { idleSeconds: 3_600 })).toEqual([])
      const [left] = await streams.pending(name, 'g', { consumer: 'b' })
      expect(left).toMatchObject({ id: two, consumer: 'b', deliveries: 2 })
      expect(await streams.groups(name)).toEqual([{ name: 'g', pending: 2, delivered: four }])
      expect([await streams.deleteGroup(name, 'g'), await streams.deleteGroup(name, 'g')]).toEqual([
        true,
        false,
      ])
      await refusal(streams.readGroup(name, 'g', 'a'), NotFoundError, 'STORAGE_NOT_FOUND')
      await refusal(streams.pending(name, 'g'), NotFoundError, 'STORAGE_NOT_FOUND')
      expect([await streams.ack(name, 'g', existing(two)), await streams.groups('none')]).toEqual([0, []])
    })

    it('a function gets every message, so many at once, and acknowledges it by ending', async () => {
      const { streams, name } = of()
      await addAll(streams, name, 10)
      const seen: number[] = []
      let [running, most] = [0, 0]
      const controller = new AbortController()
      const consumed = streams.consume(
        name,
        'g',
        async ({ fields, deliveries }) => {
          most = Math.max(most, ++running)
          await new Promise((resolve) => setImmediate(resolve))
          running--
          if (deliveries === 1) seen.push(Number(fields.n))
        },
        { concurrency: 4, signal: controller.signal },
      )
      await addAll(streams, name, 10, 10)
      await until(async () => seen.length === 20, 'all were seen')
      await until(async () => (await streams.pending(name, 'g')).length === 0, 'all are acknowledged')
      controller.abort()
      await consumed
      expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n))
      expect(most).toBeGreaterThan(1)
      expect(most).toBeLessThanOrEqual(4)
    })

    it('a loop acknowledges what it has gone on from; what it was left with comes to the next', async () => {
      const { streams, name } = of()
      await addAll(streams, name, 4)
      const quick = { claimAfterSeconds: 0.05 }
      const seen: StreamMessage[] = []
      for await (const message of streams.consume(name, 'g')) {
        seen.push(message)
        if (seen.length === 2) break
      }
      const failing = async () => {
        for await (const message of streams.consume(name, 'g'))
          if (ns([message])[0] === 2) throw new Error('at two')
      }
      expect(await rejection(failing())).toMatchObject({ message: 'at two' })
      const rest: [number, number][] = []
      for await (const message of streams.consume(name, 'g', quick)) {
        rest.push([Number(message.fields.n), message.deliveries])
        expect(await message.ack()).toBe(true)
        if (rest.length === 3) break
      }
      expect(rest.sort()).toEqual([
        [1, 2],
        [2, 2],
        [3, 1],
      ])
      expect(await streams.pending(name, 'g')).toEqual([])
      const controller = new AbortController()
      const stopped = (async () => {
        for await (const _ of streams.consume(name, 'g', { signal: controller.signal })) expect.unreachable()
      })()
      await streams.length(name)
      controller.abort(new Error('enough'))
      expect(await rejection(stopped)).toMatchObject({ message: 'enough' })
    })

    it('consumers that wait together leave the process to others, and each message goes to one of them', async () => {
      const { streams, name } = of()
      const [controller, got] = [new AbortController(), [] as number[]]
      const { signal } = controller
      const waiting = [0, 1, 2].map(() =>
        streams.consume(name, 'g', ({ fields }) => got.push(Number(fields.n)), { signal, concurrency: 2 }),
      )
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
      await addAll(streams, name, 6)
      await until(() => got.length === 6, 'all have come')
      controller.abort()
      await Promise.all(waiting)
      expect(got.sort()).toEqual([0, 1, 2, 3, 4, 5])
    })

    it('what a dead consumer held goes to the function of another', async () => {
      const { streams, name } = of()
      await streams.createGroup(name, 'g', { after: 'start' })
      const added = await addAll(streams, name, 3)
      expect(await streams.readGroup(name, 'g', 'dead')).toHaveLength(3)
      const controller = new AbortController()
      const seen: [string, number][] = []
      const consumed = streams.consume(
        name,
        'g',
        ({ id, deliveries }) => {
          seen.push([id, deliveries])
        },
        { claimAfterSeconds: 0.05, forgetAfterSeconds: 0.05, signal: controller.signal },
      )
      await until(() => seen.length === 3, 'all were reclaimed')
      expect(seen.map(([id]) => id).sort()).toEqual(added)
      expect(seen.every(([, deliveries]) => deliveries === 2)).toBe(true)
      await until(async () => (await streams.pending(name, 'g')).length === 0, 'all are acknowledged')
      controller.abort()
      await consumed
    })

    it('what fails too often is a dead letter, and the others go on', async () => {
      const { streams, name } = of()
      await streams.add(name, { n: 'poison', raw: Uint8Array.from([255]) })
      await addAll(streams, name, 2)
      const controller = new AbortController()
      const told: [string, number][] = []
      const done: string[] = []
      const consumed = streams.consume(
        name,
        'g',
        ({ fields }) => {
          if (fields.n === 'poison') throw new Error('indigestible')
          done.push(existing(fields.n))
        },
        {
          claimAfterSeconds: 0.03,
          signal: controller.signal,
          onError: (error, { deliveries }) => told.push([(error as Error).message, deliveries]),
        },
      )
      const dead = await until(async () => {
        const letters = await streams.deadLetters<Record<string, string | Uint8Array>>(name)
        return letters.length > 0 ? letters : undefined
      }, 'it is a dead letter')
      const [first] = await streams.read(name)
      expect(dead).toEqual([
        {
          id: dead[0]?.id,
          fields: { n: 'poison', raw: Uint8Array.from([255]) },
          group: 'g',
          of: first?.id,
          deliveries: 5,
        },
      ])
      expect(told.map(([, deliveries]) => deliveries)).toEqual([1, 2, 3, 4, 5])
      expect(told.every(([message]) => message === 'indigestible')).toBe(true)
      await until(async () => done.length === 2, 'the others are done')
      await until(async () => (await streams.pending(name, 'g')).length === 0, 'nothing is pending')
      expect(await streams.deadLetters(name, { after: existing(dead[0]).id })).toEqual([])
      controller.abort()
      await consumed
    })

    it('a consumer is forgotten only when nothing is pending for it', async () => {
      const { streams, name } = of()
      await streams.createGroup(name, 'g', { after: 'start' })
      const [one = ''] = await addAll(streams, name, 1)
      await streams.readGroup(name, 'g', 'holds')
      const controller = new AbortController()
      const seen: string[] = []
      const consumed = streams.consume(
        name,
        'g',
        ({ fields }) => {
          seen.push(existing(fields.n))
        },
        { claimAfterSeconds: 3_600, forgetAfterSeconds: 0, signal: controller.signal },
      )
      await addAll(streams, name, 1, 7)
      await until(() => seen.length === 1, 'the other one works')
      expect(await streams.pending(name, 'g', { consumer: 'holds' })).toMatchObject([{ id: one }])
      controller.abort()
      await consumed
      expect(await streams.pending(name, 'g', { consumer: 'holds' })).toMatchObject([{ id: one }])
    })

    it('a group that was never made begins at the start of the stream, one that was made where it was made', async () => {
      const { streams, name } = of()
      await addAll(streams, name, 2)
      for await (const { fields } of streams.consume(name, 'fresh')) {
        expect(fields.n).toBe('0')
        break
      }
      await streams.createGroup(name, 'late')
      await streams.add(name, { n: '2' })
      for await (const { fields } of streams.consume(name, 'late')) {
        expect(fields.n).toBe('2')
        break
      }
    })

    it.each([
      ['no name', '', {}, ['stream']],
      ['half a character', '\ud800', {}, ['stream']],
      ['a number', 7, {}, ['stream']],
      ['an id that is none', 's', { after: '1' }, ['options', 'after']],
      ['a limit of nothing', 's', { limit: 0 }, ['options', 'limit']],
      ['a limit that is too large', 's', { limit: 1_001 }, ['options', 'limit']],
      ['a negative timeout', 's', { timeoutSeconds: -1 }, ['options', 'timeoutSeconds']],
      ['a word for a flag', 's', { block: 'yes' }, ['options', 'block']],
      ['an unknown option', 's', { timeout: 1 }, ['options']],
    ])('refuses %s', async (_, name, options, path) => {
      const read = fixture.storage.streams.read(name as string, options as object)
      expect(await invalidPaths(read)).toContainEqual(path)
    })

    it.each([
      ['nothing', undefined, ['fields']],
      ['no field', {}, ['fields']],
      ['a list', ['a'], ['fields']],
      ['a number for a value', { n: 1 }, ['values', 0]],
      ['half a character', { n: '\udc00' }, ['values', 0]],
    ])('adds no %s', async (_, fields, path) => {
      const { streams, name } = of()
      expect((await invalidPaths(streams.add(name, fields as never)))[0]).toEqual(path)
      expect(await streams.length(name)).toBe(0)
    })

    it('refuses what consuming can not take', async () => {
      const { streams } = of()
      const bad = { concurrency: 0, claimAfterSeconds: 0, maxDeliveries: 1.5 }
      const paths = await invalidPaths(streams.consume('s', 'g', () => {}, bad))
      expect(paths).toContainEqual(['options', 'concurrency'])
      expect(await invalidPaths(streams.consume('s', '').next())).toContainEqual(['group'])
      expect(await invalidPaths(streams.ack('s', 'g', []))).toEqual([['ids']])
      expect(await invalidPaths(streams.ack('s', 'g', ['1-1', 'x']))).toEqual([['ids', 1]])
    })
  })
}
