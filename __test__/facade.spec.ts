// The parts of a storage share what the storage has: one connection, opened with the first call and closed once.
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startRedis } from '../scripts/servers.mjs'
import { RedisAdapter } from './support/flowkeep.js'
import { census, rawClient, uniquePrefix } from './support/redis.js'
import { until } from './support/until.js'

let server: Awaited<ReturnType<typeof startRedis>>
let client: Redis
beforeAll(async () => {
  server = await startRedis()
  client = rawClient(server.url)
})
afterAll(async () => {
  client.disconnect()
  await server.stop()
})

/** Connections to the server but the test's own one. */
async function connected(): Promise<number> {
  const list = String(await client.client('LIST'))
  return list.trim().split('\n').length - 1
}

/** One call of every part. */
const everyPart = (storage: RedisAdapter) => [
  storage.queue.push('q', 1),
  storage.cache.set('c', 1),
  storage.kv.set('k', 'v'),
  storage.streams.add('s', { a: 'b' }),
  storage.collection<{ id: string }>('all', { id: 'id' }).put({ id: 'a' }),
  storage.service('s').table('t').set('k', 1),
  storage.service('s').history().length(),
  storage.createSession('ada', {}),
  storage.breakers.get('b').state(),
]

describe('the parts of a storage', () => {
  it('are made once, and nothing is connected by asking for them', async () => {
    const storage = new RedisAdapter(server.url)
    const { queue, cache, kv, streams, breakers } = storage
    expect(storage.queue).toBe(queue)
    expect([storage.cache, storage.kv]).toEqual([cache, kv])
    expect([storage.streams, storage.breakers]).toEqual([streams, breakers])
    expect(storage.service('s')).toBe(storage.service('s'))
    storage.collection('all', { id: 'id' as never })
    expect(await storage.status()).toMatchObject({ connections: 0, operations: 0, pending: 0, latency: null })
    expect(await connected()).toBe(0)
    await storage.close()
  })

  it('share one connection, and close it once', async () => {
    const storage = new RedisAdapter(server.url, { timeoutMs: 20_000 })
    await Promise.all(everyPart(storage))
    for (const call of everyPart(storage)) await call
    expect(await connected()).toBe(1)
    expect(await storage.status()).toMatchObject({
      state: 'healthy',
      connections: 1,
      pending: 0,
      subscribers: 0,
      pool: { busy: 0, free: 0, most: 16 },
    })
    const waiting = [storage.queue.pop('none'), storage.queue.pop('nothing')]
    await until(
      async () => (await storage.status()).pool?.busy === 2,
      'both wait on connections of their own',
    )
    await until(async () => (await connected()) === 3, 'they are connected')
    await storage.queue.push('none', 1)
    expect(await waiting[0]).toBe(1)
    await until(async () => (await storage.status()).pool?.free === 1, 'one is free for others')
    const closed = Promise.allSettled(waiting)
    await Promise.all([storage.close(), storage.close()])
    expect((await closed).map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(await storage.status()).toMatchObject({ state: 'closed', connections: 0 })
    await until(async () => (await connected()) === 0, 'the server has none of them left')
  })

  it('tell how long calls take, who follows, and on demand what the server holds', async () => {
    const storage = new RedisAdapter(server.url, { timeoutMs: 20_000 })
    for (let n = 0; n < 50; n++) await storage.kv.set(`k${n}`, 'v')
    const popped = storage.queue.pop('late', { timeoutSeconds: 0.3 })
    const { sessionId } = await storage.createSession('ada', {})
    const feed = storage.subscribe({ sessionId, after: 'now' })
    await feed.ready()
    const next = feed.next()
    await until(async () => (await storage.status()).subscribers === 1, 'it follows')
    expect(await popped).toBeNull()
    const { latency, keys, memoryBytes } = await storage.status({ server: true })
    expect(latency?.samples).toBeGreaterThan(10)
    // A call that waited 300 ms for others is none of them.
    expect(latency?.p50Ms).toBeGreaterThan(0)
    expect(latency?.p50Ms).toBeLessThanOrEqual(latency?.p99Ms ?? 0)
    expect(latency?.p99Ms).toBeLessThanOrEqual(latency?.maxMs ?? 0)
    expect(keys).toBe(await client.dbsize())
    expect(memoryBytes).toBeGreaterThan(100_000)
    await feed.return()
    await next.catch(() => {})
    await storage.close()
    expect(await storage.status({ server: true })).toMatchObject({ keys: null, memoryBytes: null })
  })
})

describe('calls on several keys, on a Cluster', () => {
  it('are split by the masters that have them, and put together in order', async () => {
    const clusterUrl = process.env.FLOWKEEP_TEST_CLUSTER_URL ?? ''
    const prefix = uniquePrefix()
    const storage = new RedisAdapter(clusterUrl, { prefix, timeoutMs: 20_000 })
    const keys = Array.from({ length: 60 }, (_, n) => `k${n}`)
    await Promise.all(keys.map((key, n) => storage.kv.set(key, `${n}`)))
    const [host = ''] = clusterUrl.replace('redis-cluster://', '').split(',')
    const one = new Redis(`redis://${host.split(',')[0]}`)
    const nodes = String(await one.cluster('NODES'))
      .split('\n')
      .filter((line) => line.includes('master'))
    const held = await Promise.all(
      nodes.map(async (line) => {
        const node = new Redis(`redis://${(line.split(' ')[1] ?? '').split('@')[0]}`)
        const own = await census(node, prefix)
        node.disconnect()
        return own.length
      }),
    )
    one.disconnect()
    expect(held.reduce((sum, count) => sum + count, 0)).toBe(60)
    expect(Math.min(...held)).toBeGreaterThan(0)
    const asked = [...keys, 'none', 'k0'].reverse()
    const values = keys.map((_, n) => `${n}`)
    expect(await storage.kv.getMany(asked)).toEqual([...values, null, '0'].reverse())
    const results = await storage.kv.pipeline(
      keys.map((key) => ({ op: 'increment', key }) as const),
      { atomic: false },
    )
    expect(results.map((result) => result.ok && result.value)).toEqual(keys.map((_, n) => n + 1))
    expect(await storage.kv.delete([...keys, 'none'])).toBe(60)
    await storage.close()
  })
})
