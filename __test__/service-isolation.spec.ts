// What one service does never changes a byte of another one's, and a Redis user of one service's rights can do no more.
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startRedis } from '../scripts/servers.mjs'
import { ConfigError, type IStorage, RedisAdapter } from './support/flowkeep.js'
import { adversarialNames } from './support/names.js'
import { census, rawClient, uniquePrefix } from './support/redis.js'
import { refusal } from './support/refusal.js'

// A server to itself: all of its keys are compared again and again.
const server = await startRedis()
const { url } = server
const client = rawClient(url)
const prefix = uniquePrefix()
const storage = new RedisAdapter(url, { prefix, timeoutMs: 20_000 })
const NAMES = adversarialNames(200)

afterAll(async () => {
  await storage.close()
  client.disconnect()
  await server.stop()
})

type Bytes = ReadonlyMap<string, string>

/** What every key under the prefix holds, to the byte, and its end. A breaker's end moves while it is watched. */
async function bytes(redis: Redis, under: string): Promise<Map<string, string>> {
  const keys = await census(redis, under)
  const pipeline = redis.pipeline()
  for (const key of keys) pipeline.dumpBuffer(key).pexpiretime(key)
  const answers = (await pipeline.exec()) ?? []
  const text = (place: number): string => {
    const [error, answer] = answers[place] ?? []
    if (error) throw error
    return Buffer.isBuffer(answer) ? answer.toString('latin1') : String(answer)
  }
  const end = (key: string, place: number) => (key.includes(':b:') ? '' : text(2 * place + 1))
  return new Map(keys.map((key, place) => [key, `${text(2 * place)} ${end(key, place)}`]))
}

/** The keys whose bytes are not the same. */
function changed(before: Bytes, after: Bytes): string[] {
  const all = new Set([...before.keys(), ...after.keys()])
  return [...all].filter((key) => before.get(key) !== after.get(key))
}

const tableOf = (place: number): string => NAMES[(place + 1) % NAMES.length] ?? ''
const keyOf = (place: number): string => NAMES[(place + 7) % NAMES.length] ?? ''

/** Gives a service something of everything. */
async function fill(place: number): Promise<void> {
  const service = storage.service(NAMES[place] ?? '')
  const table = service.table<object>(tableOf(place))
  await table.set(keyOf(place), { of: place })
  await table.set('same', { of: place }, { ttlSeconds: 1_000 })
  await service.history().record({ request: { method: 'GET', url: '/same' }, response: { of: place } })
  await service.circuitBreaker(keyOf(place)).isolate({ reason: 'filled' })
}

/** Uses everything that a view has, and looks at what comes back. */
async function useAll(place: number): Promise<void> {
  const service = storage.service(NAMES[place] ?? '')
  const [table, history] = [service.table<object>(tableOf(place)), service.history()]
  expect(await table.data()).toEqual(
    new Map(
      [keyOf(place), 'same']
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
        .map((key) => [key, { of: place }]),
    ),
  )
  expect((await history.data()).map((entry) => entry.response)).toEqual([{ of: place }])
  for (const name of NAMES.slice(0, 12)) {
    const own = name === keyOf(place)
    expect([await table.get(name), await table.has(name)]).toEqual(
      own ? [{ of: place }, true] : [null, false],
    )
    if (!own) expect(await table.delete(name)).toBe(false)
  }
  await table.set('another', { of: -1 }, { ttlSeconds: 0.001 })
  await table.entries({ limit: 1 })
  const latest = await history.get({ method: 'GET', url: '/same' })
  expect(latest?.response).toEqual({ of: place })
  await history.setResponse(latest?.id ?? '', { of: -1 })
  expect((await history.getById(latest?.id ?? ''))?.response).toEqual({ of: -1 })
  await history.record({ request: { method: 'GET', url: '/same' } })
  await history.entries({ limit: 1 })
  expect(await history.length()).toBe(2)
  const breaker = service.circuitBreaker(keyOf(place))
  expect((await breaker.state()).state).toBe('isolated')
  await breaker.reset({ reason: 'used' })
  expect(service.circuitBreakers()).toEqual([breaker])
  await table.delete(keyOf(place))
  await table.clear()
  await history.clear()
  expect([(await table.data()).size, await history.length()]).toEqual([0, 0])
}

describe('200 services of adversarial names', () => {
  const owner = new Map<string, number>()
  /** The list of all breakers' names is everybody's. */
  const isShared = (key: string) => key.endsWith(':bn:all')

  beforeAll(async () => {
    let before: Bytes = new Map()
    for (const place of NAMES.keys()) {
      await fill(place)
      const after = await bytes(client, prefix)
      for (const key of changed(before, after).filter((key) => !isShared(key))) {
        expect(owner.has(key), `${key} is not of two`).toBe(false)
        owner.set(key, place)
      }
      before = after
    }
  }, 120_000)

  it('have keys of their own', () => {
    const counts = new Map<number, number>()
    for (const place of owner.values()) counts.set(place, (counts.get(place) ?? 0) + 1)
    expect(counts.size).toBe(200)
    expect(Math.min(...counts.values())).toBeGreaterThanOrEqual(6)
  })

  it('leave every byte of the others as it is, whatever they do', { timeout: 180_000 }, async () => {
    let before: Bytes = await bytes(client, prefix)
    for (const place of NAMES.keys()) {
      await useAll(place)
      const after = await bytes(client, prefix)
      const touched = changed(before, after).filter((key) => !isShared(key))
      expect(touched.length).toBeGreaterThan(0)
      expect(touched.filter((key) => owner.has(key) && owner.get(key) !== place)).toEqual([])
      before = after
    }
  })
})

describe('a user who may touch the keys of one service', () => {
  const user = `only-${process.pid}-${Date.now()}`
  const own = uniquePrefix()
  let limited: IStorage
  const all = new RedisAdapter(url, { prefix: own, timeoutMs: 20_000 })

  beforeAll(async () => {
    const spaces = ['rt', 'rn', 're'].map((space) => `~${own}v1:{*}:${space}:orders/*`)
    const history = ['ht', 'hn', 'he'].map((space) => `~${own}v1:{*}:${space}:orders`)
    const breakers = [`~${own}v1:{*}:b:*/corders`, `~${own}v1:{*}:bn:all`]
    const commands = ['-@all', '+@read', '+@write', '+@connection', '+@transaction', '+eval', '+evalsha']
    await client.call(
      'ACL',
      'SETUSER',
      user,
      'reset',
      'on',
      '>secret',
      ...spaces,
      ...history,
      ...breakers,
      ...commands,
      '-@dangerous',
    )
    limited = new RedisAdapter(url.replace('redis://', `redis://${user}:secret@`), {
      prefix: own,
      timeoutMs: 20_000,
    })
  })
  afterAll(async () => {
    await Promise.all([limited?.close(), all.close()])
    await client.call('ACL', 'DELUSER', user)
  })

  it('can do all that the service can', async () => {
    const service = limited.service('orders')
    const [table, history] = [service.table('a/b:{c}'), service.history()]
    await table.set('k', 1, { ttlSeconds: 100 })
    await table.set('brief', 1, { ttlSeconds: 0.001 })
    expect([await table.get('k'), await table.has('k'), (await table.data()).has('k')]).toEqual([
      1,
      true,
      true,
    ])
    expect((await table.entries({ limit: 1 })).items).toHaveLength(1)
    expect(await table.delete('k')).toBe(true)
    await table.clear()
    const { id } = await history.record({ request: { method: 'GET', url: '/' } })
    await history.setResponse(id, { status: 200 })
    expect((await history.get({ method: 'GET', url: '/' }))?.id).toBe(id)
    expect([(await history.data()).length, await history.length()]).toEqual([1, 1])
    await history.clear()
    const breaker = service.circuitBreaker('upstream')
    await breaker.isolate({ reason: 'a try' })
    expect((await breaker.state()).state).toBe('isolated')
  })

  it('and nothing of another one, nor of the storage', async () => {
    for (const name of ['billing', 'orders2', 'orders/x', 'order', 'orders:']) {
      await all.service(name).table('t').set('k', { of: name })
      await all
        .service(name)
        .history()
        .record({ request: { method: 'GET', url: '/' } })
    }
    const before = await bytes(client, own)
    const refused = (call: Promise<unknown>) => refusal(call, ConfigError, 'STORAGE_CONFIG')
    for (const name of ['billing', 'orders2', 'orders/x', 'order', 'orders:']) {
      const [table, history] = [limited.service(name).table('t'), limited.service(name).history()]
      await refused(table.get('k'))
      await refused(table.set('k', 1))
      await refused(table.delete('k'))
      await refused(table.data())
      await refused(table.clear())
      await refused(history.record({ request: { method: 'GET', url: '/' } }))
      await refused(history.get({ method: 'GET', url: '/' }))
      await refused(history.clear())
    }
    await refused(limited.createSession('ada', {}))
    await refused(limited.kv.get('k'))
    await refused(limited.queue.push('q', 1))
    expect(changed(before, await bytes(client, own))).toEqual([])
  })
})

it('a user with the rights of a storage suffices for all of it', async () => {
  const own = uniquePrefix()
  const user = `app-${process.pid}-${Date.now()}`
  const keys = [`~${own}*`, `~{${own}*`, `&${own}*`]
  await client.call(
    'ACL',
    'SETUSER',
    user,
    'reset',
    'on',
    '>secret',
    ...keys,
    '+@all',
    '-@admin',
    '-@dangerous',
  )
  const app = new RedisAdapter(url.replace('redis://', `redis://${user}:secret@`), {
    prefix: own,
    timeoutMs: 20_000,
  })
  try {
    const { queue, cache, kv } = app
    await queue.push('q', 1)
    const waiting = queue.pop('other')
    expect(await (await queue.reserve('q', { timeoutSeconds: 0 }))?.nack()).toBe(true)
    await queue.push('other', 2)
    expect(await waiting).toBe(2)
    await queue.close('q')
    expect(await cache.getOrSet('c', () => 3, { ttlSeconds: 60, staleSeconds: 60 })).toBe(3)
    await kv.set('{k}:1', 'v')
    expect((await kv.keys('*')).items).toContain('{k}:1')
    expect([await kv.ping(), (await kv.dbSize()) > 0]).toEqual([true, true])
    const all = app.collection<{ id: string }>('all', { id: 'id' })
    await all.create({ id: 'a' })
    expect((await all.verify()).problems).toEqual([])
    const session = await app.createSession('ada', {})
    expect(await app.eraseUser(session.userId)).toEqual({ sessions: 1 })
  } finally {
    await app.close()
    await client.call('ACL', 'DELUSER', user)
  }
})
