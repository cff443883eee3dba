import { describe, expect, it } from 'vitest'
import { ConflictError, CorruptError, escapePattern, UnsupportedError } from '../support/flowkeep.js'
import { invalidPaths, refusal } from '../support/refusal.js'
import { existing, type Subject, useFixture } from './fixture.js'

let keys = 0
const newKey = () => `key-${process.pid}-${++keys}`

/** Every key of a pattern, page by page. */
async function allKeys(kv: ReturnType<typeof useFixture>['storage']['kv'], pattern: string, limit?: number) {
  const found = new Set<string>()
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await kv.keys(pattern, {
      ...(cursor === undefined ? {} : { cursor }),
      ...(limit === undefined ? {} : { limit }),
    })
    for (const key of page.items) found.add(key)
    cursor = page.cursor
  }
  return [...found].sort()
}

/** Keys and values. */
export function keyValues(subject: Subject): void {
  describe('keys and values', () => {
    const fixture = useFixture(subject)
    const kv = () => fixture.storage.kv

    it('a text comes back as it was', async () => {
      for (const value of ['', 'ü😀', '\0\r\n', '9007199254740993', '{"a": [ ]}', 'x'.repeat(100_000)]) {
        const key = newKey()
        expect(await kv().set(key, value)).toBeUndefined()
        expect(await kv().get(key)).toBe(value)
      }
      expect(await kv().get(newKey())).toBeNull()
    })

    it('bytes come back as they were, whatever they are', async () => {
      const all = Uint8Array.from({ length: 256 }, (_, n) => n)
      const odd = [new Uint8Array(0), all, all.subarray(3, 8), Buffer.from([0xff, 0]), new Uint8Array(70_001)]
      for (const value of odd) {
        const key = newKey()
        await kv().set(key, value)
        const read = existing(await kv().get(key, { bytes: true }))
        expect(read.constructor).toBe(Uint8Array)
        expect(read).toEqual(new Uint8Array(value))
      }
      const key = newKey()
      await kv().hset(key, { a: all, text: 'b' })
      expect(await kv().hget(key, 'a', { bytes: true })).toEqual(all)
      expect(await kv().hgetall(key, { bytes: true })).toEqual({ a: all, text: Uint8Array.of(98) })
      await refusal(kv().hget(key, 'a'), CorruptError, 'STORAGE_CORRUPT')
      await kv().sadd(newKey(), [all])
    })

    it('a key goes when its time is over, and not before', async () => {
      const [key, kept] = [newKey(), newKey()]
      await kv().set(key, 'v', { ttlSeconds: 0.05 })
      await kv().set(kept, 'v', { ttlSeconds: 1000 })
      await expect.poll(() => kv().get(key)).toBeNull()
      expect(await kv().exists(key)).toBe(false)
      expect(await kv().ttlSeconds(key)).toBeNull()
      expect(await kv().ttlSeconds(kept)).toBeGreaterThan(900)
      await kv().set(kept, 'v')
      expect(await kv().ttlSeconds(kept)).toBe(-1)
      expect(await kv().expire(kept, 500)).toBe(true)
      expect(await kv().ttlSeconds(kept)).toBeGreaterThan(400)
      expect(await kv().expire(kept, 0)).toBe(true)
      expect(await kv().ttlSeconds(kept)).toBe(-1)
      expect(await kv().expire(key, 5)).toBe(false)
    })

    it('a write that builds on what is there leaves the time that the key has', async () => {
      const key = newKey()
      await kv().set(key, '{"a":1}', { ttlSeconds: 1000 })
      await kv().updateJson(key, { b: 2 })
      expect(await kv().ttlSeconds(key)).toBeGreaterThan(900)
      expect(await kv().compareAndSet(key, '{"a":1,"b":2}', '7')).toBe(true)
      await kv().increment(key)
      expect(await kv().ttlSeconds(key)).toBeGreaterThan(900)
      expect(await kv().compareAndSet(key, '8', '9', { ttlSeconds: 0 })).toBe(true)
      expect(await kv().ttlSeconds(key)).toBe(-1)
    })

    it('setIfNotExists and compareAndSet let one of many win', async () => {
      const [key, other] = [newKey(), newKey()]
      const made = await Promise.all(Array.from({ length: 50 }, (_, n) => kv().setIfNotExists(key, `${n}`)))
      expect(made.filter(Boolean)).toHaveLength(1)
      const held = existing(await kv().get(key))
      const swapped = await Promise.all(
        Array.from({ length: 50 }, (_, n) => kv().compareAndSet(key, held, `new ${n}`)),
      )
      expect(swapped.filter(Boolean)).toHaveLength(1)
      expect(await kv().compareAndSet(other, 'x', 'y')).toBe(false)
      expect(await kv().compareAndSet(other, null, 'y')).toBe(true)
      expect(await kv().compareAndSet(other, null, 'z')).toBe(false)
      expect(await kv().get(other)).toBe('y')
      const bytes = Uint8Array.of(0, 255)
      await kv().set(other, bytes)
      expect(await kv().compareAndSet(other, Uint8Array.of(0, 254), 'no')).toBe(false)
      expect(await kv().compareAndSet(other, bytes, 'yes')).toBe(true)
    })

    it('updateJson changes what it names and nothing else: [], {}, long numbers, the order of keys', async () => {
      const key = newKey()
      const text = '{"z":[],"a":{},"n":9007199254740993,"f":1.0,"m":{"y":[],"x":{}}}'
      await kv().set(key, text)
      expect(await kv().updateJson(key, { a: { new: [] }, k: null })).toBe(true)
      expect(await kv().get(key)).toBe(
        '{"z":[],"a":{"new":[]},"n":9007199254740993,"f":1.0,"m":{"y":[],"x":{}},"k":null}',
      )
      expect(await kv().updateJson(newKey(), { a: 1 })).toBe(false)
      await kv().set(key, '[1]')
      await refusal(kv().updateJson(key, { a: 1 }), ConflictError, 'STORAGE_CONFLICT')
      expect(await kv().get(key)).toBe('[1]')
    })

    it('lost counts through read-modify-write: parallel updates all survive', async () => {
      const [json, number] = [newKey(), newKey()]
      await kv().set(json, '{}')
      await Promise.all(
        Array.from({ length: 60 }, async (_, n) => {
          await kv().updateJson(json, { [`f${n}`]: n })
          await kv().increment(number, 2)
        }),
      )
      expect(Object.keys(JSON.parse(existing(await kv().get(json))))).toHaveLength(60)
      expect(await kv().get(number)).toBe('120')
    })

    it('types are not guessed back from strings', async () => {
      const key = newKey()
      for (const text of ['1', 'true', 'null', '007', '1e3', '[]']) {
        await kv().set(key, text)
        expect(await kv().get(key)).toBe(text)
        await kv().hset(key.concat('h'), { f: text })
        expect(await kv().hget(key.concat('h'), 'f')).toBe(text)
      }
    })

    it('hashes', async () => {
      const key = newKey()
      expect(await kv().hgetall(key)).toEqual({})
      expect(await kv().hset(key, { b: '2', a: '1', __proto__x: 'p' })).toBe(3)
      expect(await kv().hset(key, { a: '3', c: '4' })).toBe(1)
      expect(await kv().hget(key, 'a')).toBe('3')
      expect(await kv().hget(key, 'none')).toBeNull()
      expect(await kv().hgetall(key)).toEqual({ a: '3', b: '2', c: '4', __proto__x: 'p' })
      expect(await kv().hincrement(key, 'n', 5)).toBe(5)
      expect(await kv().hincrement(key, 'n', -7)).toBe(-2)
      expect(await kv().hdel(key, ['a', 'b', 'c', 'n', 'none', '__proto__x'])).toBe(5)
      expect(await kv().exists(key)).toBe(false)
    })

    it('sets and sorted sets', async () => {
      const [set, sorted] = [newKey(), newKey()]
      expect(await kv().sadd(set, ['b', 'a', 'b'])).toBe(2)
      expect(await kv().smembers(set)).toEqual(['a', 'b'])
      expect([await kv().sismember(set, 'a'), await kv().sismember(set, 'x')]).toEqual([true, false])
      expect(await kv().srem(set, ['a', 'x'])).toBe(1)
      expect(await kv().scard(set)).toBe(1)
      const members = [
        { member: 'low', score: -1.5 },
        { member: 'b', score: 2 },
        { member: 'a', score: 2 },
      ]
      expect(await kv().zadd(sorted, members)).toBe(3)
      expect((await kv().zrange(sorted, 0, 10)).map((item) => item.member)).toEqual(['low', 'a', 'b'])
      expect(await kv().zrange(sorted, 0, 1, { descending: true })).toEqual([{ member: 'b', score: 2 }])
      expect(await kv().zrangeByScore(sorted, -2, 1)).toEqual([{ member: 'low', score: -1.5 }])
      expect(await kv().zincrement(sorted, 'low', 0.25)).toBe(-1.25)
      expect(await kv().zscore(sorted, 'low')).toBe(-1.25)
      expect(await kv().zscore(sorted, 'none')).toBeNull()
      expect(await kv().zrem(sorted, ['low', 'none'])).toBe(1)
      expect(await kv().zcard(sorted)).toBe(2)
    })

    it('a command that does not fit is a conflict and changes nothing', async () => {
      const key = newKey()
      await kv().set(key, 'text')
      for (const wrong of [
        () => kv().hget(key, 'f'),
        () => kv().hset(key, { f: 'v' }),
        () => kv().sadd(key, ['m']),
        () => kv().zcard(key),
        () => kv().increment(key),
      ]) {
        await refusal(wrong(), ConflictError, 'STORAGE_CONFLICT')
      }
      await kv().set(key, '9223372036854775807')
      await refusal(kv().increment(key), ConflictError, 'STORAGE_CONFLICT')
      expect(await kv().get(key)).toBe('9223372036854775807')
    })

    it('several keys at once', async () => {
      const [a, b, c] = [newKey(), newKey(), newKey()]
      await Promise.all([kv().set(a, '1'), kv().set(b, '2')])
      expect(await kv().getMany([a, c, b])).toEqual(['1', null, '2'])
      expect(await kv().delete([a, b, c])).toBe(2)
      expect(await kv().delete(a)).toBe(0)
    })

    it('a pipeline gives a typed result for each command', async () => {
      const key = newKey()
      const results = await kv().pipeline(
        [
          { op: 'set', key, value: '5' },
          { op: 'increment', key },
          { op: 'hget', key, field: 'f' },
          { op: 'get', key },
          { op: 'hset', key: `${key}h`, fields: { a: '1' } },
          { op: 'hgetall', key: `${key}h` },
          { op: 'zadd', key: `${key}z`, members: [{ member: 'm', score: 1 }] },
          { op: 'sadd', key: `${key}s`, members: ['x', 'y'] },
        ],
        { atomic: false },
      )
      const [set, incremented, wrong, read, put, all, scored, members] = results
      expect([set, incremented, read]).toEqual([
        { ok: true, value: null },
        { ok: true, value: 6 },
        { ok: true, value: '6' },
      ])
      expect([put, all, scored, members].map((result) => result.ok && result.value)).toEqual([
        1,
        { a: '1' },
        1,
        2,
      ])
      expect(wrong.ok).toBe(false)
      if (!wrong.ok) expect(wrong.error).toBeInstanceOf(ConflictError)
    })

    it('an atomic pipeline lets nobody between', async () => {
      const tag = `{${newKey()}}`
      const [from, to] = [`${tag}:from`, `${tag}:to`]
      await kv().set(from, '1000')
      await kv().set(to, '0')
      const sums: number[] = []
      const move = () =>
        kv().pipeline(
          [
            { op: 'increment', key: from, by: -1 },
            { op: 'increment', key: to },
          ],
          { atomic: true },
        )
      const look = async () => {
        const seen = await kv().pipeline(
          [
            { op: 'get', key: from },
            { op: 'get', key: to },
          ],
          { atomic: true },
        )
        sums.push(seen.reduce((sum, result) => sum + (result.ok ? Number(result.value) : Number.NaN), 0))
      }
      await Promise.all(Array.from({ length: 100 }, (_, n) => (n % 2 === 0 ? move() : look())))
      expect(new Set(sums)).toEqual(new Set([1000]))
      const apart = kv().pipeline(
        [
          { op: 'set', key: newKey(), value: 'a' },
          { op: 'set', key: newKey(), value: 'b' },
        ],
        { atomic: true },
      )
      await refusal(apart, UnsupportedError, 'STORAGE_UNSUPPORTED')
    })

    it('keys are found by pattern, page by page, and text of users matches only itself', async () => {
      const base = newKey()
      const names = ['a:1', 'a:2', 'b:1', '*', 'x*y', '[z]', '{t}', 'ü', '%']
      for (const name of names) await kv().set(`${base}:${name}`, '')
      const found = async (pattern: string) =>
        (await allKeys(kv(), `${base}:${pattern}`)).map((key) => key.slice(base.length + 1))
      expect(await found('*')).toEqual([...names].sort())
      expect(await found('a:*')).toEqual(['a:1', 'a:2'])
      expect(await found('[ab]:1')).toEqual(['a:1', 'b:1'])
      expect(await found('[^a]:1')).toEqual(['b:1'])
      expect(await found('?:1')).toEqual(['a:1', 'b:1'])
      for (const name of names) expect(await found(escapePattern(name))).toEqual([name])
      const many = newKey()
      await Promise.all(Array.from({ length: 2500 }, (_, n) => kv().set(`${many}:${n}`, '')))
      const page = await kv().keys(`${many}:*`, { limit: 100 })
      // A server that grows its table meanwhile tells some keys twice: they are on the page once.
      expect(page.items.length).toBeGreaterThan(50)
      expect(page.items.length).toBeLessThan(1500)
      expect(page.cursor).not.toBeNull()
      expect(await allKeys(kv(), `${many}:*`, 300)).toHaveLength(2500)
    })

    it('the server as a whole', async () => {
      await kv().set(newKey(), '')
      expect(await kv().ping()).toBe(true)
      expect(await kv().dbSize()).toBeGreaterThan(0)
      expect(Object.keys(await kv().info()).length).toBeGreaterThan(0)
    })

    it('bad input is told with its place', async () => {
      const loose = kv() as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
      const call = (name: string, ...args: unknown[]) =>
        invalidPaths((loose[name] as () => never).apply(kv(), args as []))
      expect(await call('get', '')).toEqual([['key']])
      expect(await call('get', 7)).toEqual([['key']])
      expect(await call('get', 'a\ud800')).toEqual([['key']])
      expect(await call('set', 'k', 5)).toEqual([['value']])
      expect(await call('set', 'k', { base64: 'AA' })).toEqual([['value']])
      expect(await call('set', 'k', 'v', { ttlSeconds: -1 })).toEqual([['options', 'ttlSeconds']])
      expect(await call('set', 'k', 'v', { ttlSeconds: Number.NaN })).toEqual([['options', 'ttlSeconds']])
      expect(await call('get', 'k', { unknown: 1 })).toEqual([['options']])
      expect(await call('increment', 'k', 0.5)).toEqual([['by']])
      expect(await call('hset', 'k', {})).toEqual([['fields']])
      expect(await call('hset', 'k', { f: 1 })).toEqual([['values', 0]])
      expect(await call('sadd', 'k', [])).toEqual([['values']])
      expect(await call('pipeline', [{ op: 'set', key: 'k' }], { atomic: true })).toEqual([
        ['commands', 0, 'value'],
      ])
      expect(await call('pipeline', [{ op: 'get', key: 'k' }], {})).toEqual([['options', 'atomic']])
      expect(await call('keys', '*', { cursor: 'x' })).toEqual([['options', 'cursor']])
    })
  })

  describe('keys of a keyspace that others share', () => {
    const fixture = useFixture(subject, { kv: { rawKeys: true } })

    it('are as they are given', async () => {
      const key = `raw:${newKey()}`
      const { kv } = fixture.storage
      await kv.set(key, 'v')
      expect(await kv.get(key)).toBe('v')
      expect(await allKeys(kv, `${escapePattern(key)}*`)).toEqual([key])
      expect(await kv.delete(key)).toBe(1)
    })
  })
}
