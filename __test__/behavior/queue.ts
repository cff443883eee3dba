import { describe, expect, it } from 'vitest'
import { CapacityError, ConflictError, type IStorage, ValidationError } from '../support/flowkeep.js'
import { invalidPaths, rejection } from '../support/refusal.js'
import { until } from '../support/until.js'
import { existing, type Subject, useFixture } from './fixture.js'

let queues = 0

/** A queue that no other test has; its name tries to be more than a name. */
const newQueue = (): string => `q{${++queues}}:leases%7B`

const now = { timeoutSeconds: 0 }

async function drain(storage: IStorage, name: string): Promise<unknown[]> {
  const items: unknown[] = []
  for (;;) {
    const item = await storage.queue.reserve(name, now)
    if (!item) return items
    items.push(item.data)
    await item.ack()
  }
}

/** Queues: section 9 of what a storage promises. */
export function queue(subject: Subject): void {
  describe('a queue', () => {
    const fixture = useFixture(subject)
    const of = () => ({ storage: fixture.storage, queue: fixture.storage.queue, name: newQueue() })

    it('gives items in the order in which they came, as they were', async () => {
      const { queue, name } = of()
      const items = [{ a: [1, {}, []] }, 'text', 0, -0.5, true, null, [], {}, '\u{1F600}"\n', 2 ** 53]
      for (const [place, item] of items.entries()) expect(await queue.push(name, item)).toBe(place + 1)
      expect(await queue.length(name)).toBe(items.length)
      for (const item of items) {
        const held = existing(await queue.reserve(name, now))
        expect(held.data).toEqual(item)
        expect(await held.ack()).toBe(true)
      }
      expect(await queue.counts(name)).toEqual({ waiting: 0, leased: 0, dead: 0 })
    })

    it('pops an item once', async () => {
      const { queue, name } = of()
      await queue.push(name, { n: 1 })
      await queue.push(name, { n: 2 })
      expect(await queue.pop(name)).toEqual({ n: 1 })
      expect(await queue.pop<{ n: number }>(name, now)).toEqual({ n: 2 })
      expect(await queue.pop(name, now)).toBeNull()
      expect(await queue.counts(name)).toEqual({ waiting: 0, leased: 0, dead: 0 })
    })

    it('a pop with a timeout of 0 does not wait, and one of half a second ends', async () => {
      const { queue, name } = of()
      const before = performance.now()
      expect(await queue.pop(name, { timeoutSeconds: 0 })).toBeNull()
      expect(await queue.pop(name, { timeoutSeconds: 0.3 })).toBeNull()
      const took = performance.now() - before
      expect(took).toBeGreaterThanOrEqual(290)
      expect(took).toBeLessThan(10_000)
    })

    it('wakes who waits, with or without a timeout', async () => {
      const { queue, name } = of()
      const waiting = [queue.pop(name), queue.pop(name, { timeoutSeconds: 20 }), queue.reserve(name)] as const
      for (const n of [1, 2, 3]) await queue.push(name, n)
      const [one, two, held] = await Promise.all(waiting)
      expect([one, two, held?.data].sort()).toEqual([1, 2, 3])
      await held?.ack()
    })

    it('an aborted pop rejects with the reason and loses nothing', async () => {
      const { queue, name } = of()
      const reason = new Error('no longer')
      const waiting = new AbortController()
      const popped = queue.pop(name, { signal: waiting.signal })
      await queue.length(name)
      waiting.abort(reason)
      expect(await rejection(popped)).toBe(reason)
      await queue.push(name, 'kept')
      const sent = new AbortController()
      const raced = queue.pop(name, { signal: sent.signal })
      sent.abort(reason)
      const [result] = await Promise.allSettled([raced])
      const again =
        result.status === 'fulfilled' ? result.value : await queue.pop(name, { timeoutSeconds: 5 })
      expect(again).toBe('kept')
      expect(await rejection(queue.pop(name, { signal: AbortSignal.abort(reason) }))).toBe(reason)
    })

    it('100 aborted pops racing with pushes lose nothing', async () => {
      const { queue, name, storage } = of()
      const got: unknown[] = []
      const pops = Array.from({ length: 100 }, async (_, n) => {
        const controller = new AbortController()
        const popped = queue.pop(name, { signal: controller.signal }).then((item) => got.push(item))
        for (let turn = 0; turn < n % 7; turn++) await new Promise((resolve) => setImmediate(resolve))
        controller.abort()
        await popped.catch(() => {})
      })
      const pushes = Array.from({ length: 100 }, (_, n) => queue.push(name, n))
      await Promise.all([...pops, ...pushes])
      await until(async () => {
        got.push(...(await drain(storage, name)))
        return got.length >= 100
      }, 'every item has been got')
      expect([...got].sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 100 }, (_, n) => n))
    })

    it('what is not acknowledged in time comes back to the front, and the lease is worth nothing then', async () => {
      const { queue, name } = of()
      await queue.push(name, 'first')
      await queue.push(name, 'second')
      const lost = existing(await queue.reserve(name, { timeoutSeconds: 0, leaseSeconds: 0.05 }))
      const second = existing(await queue.reserve(name, now))
      expect(second.data).toBe('second')
      const again = await until(() => queue.reserve(name, now), 'the first one is back')
      expect(again.data).toBe('first')
      await second.nack()
      expect(again.deliveries).toBe(2)
      expect([await lost.ack(), await lost.nack(), await lost.extend()]).toEqual([false, false, false])
      expect(await again.ack()).toBe(true)
      expect(await queue.length(name)).toBe(1)
    })

    it('a lease that is extended lasts, and an item that is given back with a delay comes later', async () => {
      const { queue, name } = of()
      await queue.push(name, 1)
      const held = existing(await queue.reserve(name, { timeoutSeconds: 0, leaseSeconds: 0.2 }))
      expect(await held.extend({ leaseSeconds: 60 })).toBe(true)
      expect(await queue.pop(name, { timeoutSeconds: 0.4 })).toBeNull()
      expect(await held.nack({ delaySeconds: 0.2 })).toBe(true)
      expect(await queue.pop(name, now)).toBeNull()
      expect(await queue.pop(name, { timeoutSeconds: 20 })).toBe(1)
    })

    it('what fails five times is a dead letter, to be put back', async () => {
      const { queue, name } = of()
      await queue.push(name, { poison: true })
      await queue.push(name, 'healthy')
      for (const deliveries of [1, 2, 3, 4, 5]) {
        const held = existing(await queue.reserve(name, now))
        expect([held.data, held.deliveries]).toEqual([{ poison: true }, deliveries])
        await held.nack()
      }
      expect(await queue.deadLetters(name)).toEqual([{ poison: true }])
      expect(await queue.counts(name)).toEqual({ waiting: 1, leased: 0, dead: 1 })
      expect(await queue.requeue(name)).toBe(1)
      expect(await queue.requeue(name)).toBe(0)
      expect(await queue.pop(name, now)).toBe('healthy')
      expect((await queue.reserve(name, now))?.deliveries).toBe(1)
    })

    it('equal items are counted apart', async () => {
      const { queue, name } = of()
      for (let n = 0; n < 20; n++) await queue.push(name, { type: 'tick' })
      for (let n = 0; n < 20; n++) {
        const held = existing(await queue.reserve(name, now))
        expect(held.deliveries).toBe(1)
        if (n % 2 === 0) await held.ack()
      }
      expect(await queue.counts(name)).toEqual({ waiting: 0, leased: 10, dead: 0 })
    })

    it('refuses what is more than its length may be', async () => {
      const { queue, name } = of()
      await queue.push(name, 1, { maxLength: 2 })
      await queue.push(name, 2, { maxLength: 2 })
      const error = await rejection(queue.push(name, 3, { maxLength: 2 }))
      expect(error).toBeInstanceOf(CapacityError)
      expect(error).toMatchObject({ code: 'STORAGE_CAPACITY', limit: 2, operation: 'queue.push' })
      expect(await queue.push(name, 3)).toBe(3)
    })

    it('a closed queue ends its readers when it is empty, and takes nothing more', async () => {
      const { queue, name } = of()
      const read: unknown[] = []
      const reader = (async () => {
        for await (const item of queue.consume(name)) read.push(item.data)
      })()
      for (const n of [1, 2, 3]) await queue.push(name, n)
      expect(await queue.close(name)).toBe(true)
      expect(await queue.close(name)).toBe(false)
      await reader
      expect(read).toEqual([1, 2, 3])
      expect(await queue.pop(name)).toBeNull()
      expect(await queue.reserve(name)).toBeNull()
      expect(await rejection(queue.push(name, 4))).toBeInstanceOf(ConflictError)
      expect(await queue.reopen(name)).toBe(true)
      expect(await queue.push(name, 4)).toBe(1)
    })

    it('an item that the loop is left with is given back, the others are acknowledged', async () => {
      const { queue, name } = of()
      for (const n of [1, 2, 3]) await queue.push(name, n)
      const fails = async () => {
        for await (const item of queue.consume(name)) if (item.data === 2) throw new Error('at two')
      }
      expect(await rejection(fails())).toMatchObject({ message: 'at two' })
      expect(await queue.counts(name)).toEqual({ waiting: 2, leased: 0, dead: 0 })
      const controller = new AbortController()
      const seen: unknown[] = []
      const stopped = (async () => {
        for await (const item of queue.consume(name, { signal: controller.signal })) {
          seen.push(item.data)
          if (seen.length === 2) controller.abort(new Error('enough'))
        }
      })()
      expect(await rejection(stopped)).toMatchObject({ message: 'enough' })
      expect(seen).toEqual([2, 3])
      expect(await queue.counts(name)).toEqual({ waiting: 0, leased: 0, dead: 0 })
    })

    it.each([
      ['no name', '', {}, ['name']],
      ['half a character', '\ud800', {}, ['name']],
      ['a number', 7, {}, ['name']],
      ['a negative timeout', 'q', { timeoutSeconds: -1 }, ['options', 'timeoutSeconds']],
      ['a timeout that is no number', 'q', { timeoutSeconds: Number.NaN }, ['options', 'timeoutSeconds']],
      ['a lease of no time', 'q', { leaseSeconds: 0 }, ['options', 'leaseSeconds']],
      ['an unknown option', 'q', { timeout: 1 }, ['options']],
    ])('refuses %s', async (_, name, options, path) => {
      expect(
        await invalidPaths(fixture.storage.queue.reserve(name as string, options as object)),
      ).toContainEqual(path)
    })

    it.each([
      ['nothing', undefined],
      ['a function', () => 1],
      ['no number', { n: Number.NaN }],
      ['a date', { at: new Date() }],
    ])('puts no %s', async (_, data) => {
      const name = newQueue()
      expect(await rejection(fixture.storage.queue.push(name, data))).toBeInstanceOf(ValidationError)
      expect(await fixture.storage.queue.length(name)).toBe(0)
    })
  })
}
