import { describe, expect, it } from 'vitest'
import { ValidationError } from '../support/flowkeep.js'
import { invalidPaths, rejection } from '../support/refusal.js'
import { until } from '../support/until.js'
import { type Subject, useFixture } from './fixture.js'

let keys = 0
const newKey = (): string => `k{${++keys}}:stale%7D`

/** A promise with its ends in the open. */
function gate(): { opened: Promise<void>; open(): void } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** The cache: section 9 of what a storage promises. */
export function cache(subject: Subject): void {
  describe('a cache', () => {
    const fixture = useFixture(subject)
    const of = () => ({ cache: fixture.storage.cache, key: newKey() })

    it('gives what was set until it is deleted', async () => {
      const { cache, key } = of()
      expect([await cache.get(key), await cache.exists(key), await cache.delete(key)]).toEqual([
        null,
        false,
        false,
      ])
      for (const value of [{ a: [] }, 'text', 7, '', false, [], {}, 1e21]) {
        await cache.set(key, value)
        expect(await cache.get(key)).toEqual(value)
      }
      expect([await cache.exists(key), await cache.delete(key), await cache.exists(key)]).toEqual([
        true,
        true,
        false,
      ])
    })

    it('a value ends when its life does, and setting it anew without one takes the end away', async () => {
      const { cache, key } = of()
      await cache.set(key, 1, { ttlSeconds: 0.05 })
      await until(async () => (await cache.get(key)) === null, 'it has ended')
      expect(await cache.exists(key)).toBe(false)
      await cache.set(key, 1, { ttlSeconds: 0.2 })
      await cache.set(key, 2, { ttlSeconds: 0 })
      await new Promise((resolve) => setTimeout(resolve, 250))
      expect(await cache.get(key)).toBe(2)
    })

    it('computes once for 50 callers', async () => {
      const { cache, key } = of()
      const { opened, open } = gate()
      let computed = 0
      const compute = async () => {
        computed++
        await opened
        return { n: computed }
      }
      const callers = Array.from({ length: 50 }, () => cache.getOrSet(key, compute, { ttlSeconds: 60 }))
      await until(() => computed > 0, 'it is computed')
      open()
      for (const value of await Promise.all(callers)) expect(value).toEqual({ n: 1 })
      expect(await cache.getOrSet(key, compute)).toEqual({ n: 1 })
      expect(computed).toBe(1)
    })

    it('a failure is told and kept nowhere', async () => {
      const { cache, key } = of()
      const fails = () => Promise.reject(new Error('no luck'))
      const callers = await Promise.allSettled([1, 2, 3].map(() => cache.getOrSet(key, fails)))
      expect(callers.map((caller) => caller.status)).toEqual(['rejected', 'rejected', 'rejected'])
      expect(await cache.getOrSet(key, () => 'luck')).toBe('luck')
    })

    it('a caller that goes away leaves the computing to the others', async () => {
      const { cache, key } = of()
      const { opened, open } = gate()
      const controller = new AbortController()
      const compute = () => opened.then(() => 'done')
      const gone = cache.getOrSet(key, compute, { signal: controller.signal })
      const stays = cache.getOrSet(key, compute)
      controller.abort(new Error('gone'))
      expect(await rejection(gone)).toMatchObject({ message: 'gone' })
      open()
      expect(await stays).toBe('done')
    })

    it('what was deleted or set while it was computed is not replaced by it', async () => {
      const { cache, key } = of()
      for (const [change, left] of [
        [() => cache.delete(key), null],
        [() => cache.set(key, 'newer'), 'newer'],
      ] as const) {
        const { opened, open } = gate()
        let computing = false
        const value = cache.getOrSet(key, () => {
          computing = true
          return opened.then(() => 'old')
        })
        await until(() => computing, 'it is computed')
        await change()
        open()
        expect(await value).toBe('old')
        expect(await cache.get(key)).toBe(left)
      }
    })

    it('keeps null only when asked to, and then without computing again', async () => {
      const { cache, key } = of()
      let computed = 0
      const compute = () => {
        computed++
        return null
      }
      expect([await cache.getOrSet(key, compute), await cache.getOrSet(key, compute)]).toEqual([null, null])
      expect([computed, await cache.exists(key)]).toEqual([2, false])
      const negative = { negativeTtlSeconds: 60, ttlSeconds: 1 }
      await cache.getOrSet(key, compute, negative)
      await cache.getOrSet(key, compute, negative)
      expect([computed, await cache.exists(key)]).toEqual([3, true])
    })

    it('gives out a stale value while a new one is computed', async () => {
      const { cache, key } = of()
      const how = { ttlSeconds: 0.05, staleSeconds: 60 }
      expect(await cache.getOrSet(key, () => 'old', how)).toBe('old')
      await until(async () => !(await cache.exists(key)), 'it has ended')
      const { opened, open } = gate()
      let computed = 0
      const compute = () => {
        computed++
        return opened.then(() => 'new')
      }
      expect(await cache.getOrSet(key, compute, how)).toBe('old')
      expect(await cache.get(key)).toBeNull()
      open()
      await until(async () => (await cache.getOrSet(key, compute, how)) === 'new', 'the new one is there')
      expect(computed).toBeGreaterThan(0)
      await cache.delete(key)
      expect(await cache.getOrSet(key, () => 'fresh', how)).toBe('fresh')
    })

    it.each([
      ['no key', '', {}, ['key']],
      ['half a character', '\udfff', {}, ['key']],
      ['a negative life', 'k', { ttlSeconds: -1 }, ['options', 'ttlSeconds']],
      ['a life that is no number', 'k', { ttlSeconds: Number.NaN }, ['options', 'ttlSeconds']],
      ['an unknown option', 'k', { ttl: 1 }, ['options']],
    ])('refuses %s', async (_, key, options, path) => {
      expect(await invalidPaths(fixture.storage.cache.set(key, 1, options as object))).toContainEqual(path)
    })

    it('refuses to keep what is no JSON, and says so', async () => {
      const { cache, key } = of()
      expect(await rejection(cache.getOrSet(key, () => new Date() as never))).toBeInstanceOf(ValidationError)
      expect(await cache.getOrSet(key, () => 1)).toBe(1)
    })
  })
}
