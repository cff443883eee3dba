// Mistakes of clients of Redis that no other test names: see pitfalls.spec.ts.
import { afterEach, describe, expect, it } from 'vitest'
import { startRedis } from '../scripts/servers.mjs'
import { ConflictError, type IStorage, RedisAdapter, UnavailableError } from './support/flowkeep.js'
import { TcpProxy } from './support/proxy.js'
import { census, rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'
import { refusal } from './support/refusal.js'
import { freePort } from './support/server.js'
import { until } from './support/until.js'

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function adapter(url = redisUrl(), timeoutMs = 20_000) {
  const prefix = uniquePrefix()
  const storage: IStorage = new RedisAdapter(url, { prefix, timeoutMs })
  const client = rawClient(redisUrl())
  ends.push(
    () => client.disconnect(),
    () => sweep(client, prefix),
    () => storage.close(),
  )
  return { storage, prefix, client }
}

describe('waiting', () => {
  it('a pop that waits longer than a call may take', async () => {
    const { storage } = adapter(redisUrl(), 250)
    const popped = storage.queue.pop('q')
    const began = performance.now()
    await until(() => performance.now() - began > 1_200, 'several times as long as a call may take')
    const [other] = [adapter().storage]
    expect(await other.queue.pop('q', { timeoutSeconds: 0 })).toBeNull()
    await storage.queue.push('q', 'late', { timeoutMs: 20_000 })
    expect(await popped).toBe('late')
    expect(await storage.queue.counts('q', { timeoutMs: 20_000 })).toEqual({ waiting: 0, leased: 0, dead: 0 })
  })

  it('who waits stops nobody', async () => {
    const { storage } = adapter()
    const waiting = Array.from({ length: 20 }, (_, n) => storage.queue.pop(`q${n}`))
    for (let n = 0; n < 50; n++) {
      await storage.kv.set('k', `${n}`)
      expect(await storage.kv.get('k')).toBe(`${n}`)
    }
    await Promise.all(waiting.map((_, n) => storage.queue.push(`q${n}`, n)))
    expect(await Promise.all(waiting)).toEqual(waiting.map((_, n) => n))
  })

  it('calls that wait are bounded by their deadlines', async () => {
    const nobody = new RedisAdapter(`redis://127.0.0.1:${await freePort()}`, { timeoutMs: 300 })
    ends.push(() => nobody.close())
    const calls = Array.from({ length: 2_000 }, (_, n) => nobody.kv.set(`k${n}`, 'v'))
    const told = await Promise.allSettled(calls)
    expect(told.filter(({ status }) => status === 'fulfilled')).toEqual([])
    expect((await nobody.status()).pending).toBe(0)
  })
})

describe('writing', () => {
  it('a count, a list and a set hold what was acknowledged, and nothing twice', async () => {
    const { port, stop } = await startRedis()
    ends.push(stop)
    const line = await TcpProxy.start(port)
    ends.push(() => line.dispose())
    const prefix = uniquePrefix()
    const storage = new RedisAdapter(line.url, { prefix, timeoutMs: 5_000 })
    ends.push(() => storage.close())
    await storage.kv.increment('count', 0)
    line.trouble = { loseReplyIn: 7 }
    const counts = { done: 0, unknown: 0 }
    const tell = (call: Promise<unknown>) =>
      call.then(
        () => counts.done++,
        (error) => {
          if (error.outcome === 'unknown') counts.unknown++
          else expect(error).toMatchObject({ outcome: 'not-applied' })
        },
      )
    for (let n = 0; n < 60; n++) {
      await tell(storage.kv.increment('count'))
      await tell(storage.queue.push('list', n))
      await tell(storage.kv.zincrement('sorted', 'm', 1))
    }
    expect(line.lost).toBeGreaterThan(3)
    expect(counts.unknown).toBeGreaterThan(0)
    const client = rawClient(`redis://127.0.0.1:${port}`)
    ends.push(() => client.disconnect())
    const count = Number(await client.get(`${prefix}kv:count`))
    const score = Number(await client.zscore(`${prefix}kv:sorted`, 'm'))
    const items = await client.lrange(`${prefix}queue:list`, 0, -1)
    expect(new Set(items).size).toBe(items.length)
    const stored = count + score + items.length
    expect(stored).toBeGreaterThanOrEqual(counts.done)
    expect(stored).toBeLessThanOrEqual(counts.done + counts.unknown)
    for (const one of [count, score, items.length]) expect(one).toBeLessThanOrEqual(60)
  })

  it('a write that is refused leaves every byte', async () => {
    const { storage, prefix, client } = adapter()
    const routes = storage.collection<{ id: string; path: string; name: string }>('routes', {
      id: 'id',
      unique: [['path'], ['name']],
    })
    await routes.create({ id: 'a', path: '/a', name: 'a' })
    await storage.kv.set('text', 'x')
    await storage.queue.push('q', 1)
    await storage.queue.close('q')
    const bytes = async () => {
      const keys = await census(client, prefix)
      return Promise.all(keys.map(async (key) => [key, (await client.dumpBuffer(key))?.toString('hex')]))
    }
    const before = await bytes()
    await refusal(routes.create({ id: 'b', path: '/b', name: 'a' }), ConflictError, 'STORAGE_EXISTS')
    await refusal(routes.put({ id: 'b', path: '/a', name: 'b' }), ConflictError, 'STORAGE_EXISTS')
    await refusal(storage.kv.hset('text', { f: 'v' }), ConflictError, 'STORAGE_CONFLICT')
    await refusal(storage.kv.updateJson('text', { f: 'v' }), ConflictError, 'STORAGE_CONFLICT')
    await refusal(storage.queue.push('q', 2), ConflictError, 'STORAGE_CONFLICT')
    expect(await bytes()).toEqual(before)
  })

  it('an update of what is over brings nothing back', async () => {
    const { storage, prefix, client } = adapter()
    for (let n = 0; n < 20; n++) {
      await storage.kv.set('k', '{"n":0}', { ttlSeconds: 0.02 })
      // Up to the end and over it.
      for (let there = true; there; ) there = await storage.kv.updateJson('k', { n })
      expect(await storage.kv.get('k')).toBeNull()
      expect(await storage.kv.compareAndSet('k', `{"n":${n}}`, 'again')).toBe(false)
    }
    expect(await census(client, prefix)).toEqual([])
  })

  it('on a full server deleting makes room', async () => {
    const { url, stop } = await startRedis()
    ends.push(stop)
    const admin = rawClient(url)
    ends.push(() => admin.disconnect())
    const storage = new RedisAdapter(url, { timeoutMs: 20_000 })
    ends.push(() => storage.close())
    await storage.kv.set('large', 'x'.repeat(1_000_000))
    await storage.cache.set('value', 1)
    const used = Number(/used_memory:(\d+)/.exec(await admin.info('memory'))?.[1])
    await admin.config('SET', 'maxmemory', String(used - 200_000))
    await refusal(storage.kv.set('more', 'x'), UnavailableError, 'STORAGE_UNAVAILABLE')
    expect(await storage.cache.get('value')).toBe(1)
    expect(await storage.kv.delete('large')).toBe(1)
    await until(
      () =>
        storage.kv.set('more', 'x').then(
          () => true,
          () => false,
        ),
      'there is room again',
    )
    expect(await storage.kv.get('more')).toBe('x')
  })
})
