// Mistakes of systems like this one that no other test names: see pitfalls.spec.ts.
import { afterEach, describe, expect, it } from 'vitest'
import {
  type IStorage,
  MemoryStorage,
  openStorage,
  RedisAdapter,
  ResilientStorage,
  UnavailableError,
} from './support/flowkeep.js'
import { rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'
import { refusal } from './support/refusal.js'
import { OwnServer } from './support/server.js'
import { until } from './support/until.js'

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function owned<S extends IStorage>(storage: S): S {
  ends.push(() => storage.close())
  return storage
}

function onRedis(): RedisAdapter {
  const prefix = uniquePrefix()
  const client = rawClient(redisUrl())
  ends.push(async () => {
    await sweep(client, prefix)
    client.disconnect()
  })
  return owned(new RedisAdapter(redisUrl(), { prefix, timeoutMs: 20_000 }))
}

const both = () => [owned(new MemoryStorage()), onRedis()] as const

describe('records', () => {
  it('one record has the same fields everywhere', async () => {
    const made = await Promise.all(
      both().map(async (storage) => {
        const data = { title: 'all', tags: ['t'], metadata: { a: [1] } }
        const session = await storage.createSession('ada', data)
        const { chainId } = await storage.createChain(session.sessionId, {
          title: 'c',
          source: 'flow',
          metadata: {},
        })
        const { stepId } = await storage.createStep(chainId, {
          action: 'a',
          model: 'm',
          inputs: { i: 1 },
          waitsFor: [],
        })
        await storage.updateStep(stepId, { status: 'in_progress' })
        await storage.updateStep(stepId, { status: 'failed', error: 'e', result: { r: null } })
        const read = [
          await storage.getSession(session.sessionId),
          await storage.getChain(chainId),
          await storage.getStep(stepId),
          (await storage.listSteps(chainId))[0],
          (await storage.events({ sessionId: session.sessionId })).items.at(-1),
        ]
        return read.map((record) => Object.keys(record ?? {}).sort())
      }),
    )
    expect(made[0]).toEqual(made[1])
    for (const fields of made[0] ?? []) expect(fields.length).toBeGreaterThan(5)
  })
})

describe('queues, locks and tables', () => {
  it('what arrives while a queue is emptied stays', async () => {
    for (const storage of both()) {
      const { queue } = storage
      const got: number[] = []
      const pushes = Promise.all(Array.from({ length: 300 }, (_, n) => queue.push('q', n)))
      const empty = async () => {
        for (;;) {
          const item = await queue.pop<number>('q', { timeoutSeconds: 0 })
          if (item === null) return
          got.push(item)
        }
      }
      await Promise.all([empty(), empty(), pushes])
      await empty()
      expect(got.sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, n) => n))
    }
  })

  it('a lock is not taken from its next owner', async () => {
    for (const { queue } of both()) {
      await queue.push('q', 1)
      const late = await queue.reserve('q', { timeoutSeconds: 0, leaseSeconds: 0.05 })
      const next = await until(() => queue.reserve('q', { timeoutSeconds: 0 }), 'it is back')
      expect([await late?.ack(), await late?.nack(), await late?.extend()]).toEqual([false, false, false])
      expect(await queue.counts('q')).toEqual({ waiting: 0, leased: 1, dead: 0 })
      expect(await next.ack()).toBe(true)
    }
  })

  it('who computes too long takes no lock away, and its value is not kept', async () => {
    const prefix = uniquePrefix()
    const client = rawClient(redisUrl())
    const open = () => owned(new RedisAdapter(redisUrl(), { prefix, timeoutMs: 20_000 }))
    const [one, two, three] = [open(), open(), open()]
    const computing: { by: string; finish(): void }[] = []
    const ask = (storage: IStorage, by: string, leaseSeconds: number) => {
      const compute = () =>
        new Promise<string>((resolve) => computing.push({ by, finish: () => resolve(by) }))
      return storage.cache.getOrSet('k', compute, { leaseSeconds, ttlSeconds: 60 })
    }
    const first = ask(one, 'one', 0.05)
    await until(() => computing.length === 1, 'the first one computes')
    const second = ask(two, 'two', 600)
    await until(() => computing.length === 2, 'the second one computes as well')
    computing[0]?.finish()
    expect(await first).toBe('one')
    expect(await three.cache.get('k')).toBeNull()
    expect(await client.exists(`{${prefix}cache:k}:flight`)).toBe(1)
    const third = ask(three, 'three', 600)
    computing[1]?.finish()
    expect(await Promise.all([second, third])).toEqual(['two', 'two'])
    expect(computing.map(({ by }) => by)).toEqual(['one', 'two'])
    await sweep(client, prefix)
    client.disconnect()
  })

  it('a table may be named like anything', async () => {
    for (const storage of both()) {
      const service = storage.service('s')
      const names = [
        'history',
        'table',
        'ht',
        'rt',
        'rn',
        're',
        'breakers',
        'queue',
        'cache',
        '__proto__',
        'clear',
      ]
      await service.history().record({ request: { method: 'GET', url: '/' } })
      for (const name of names) {
        const table = service.table(name)
        expect(await table.get('k')).toBeNull()
        await table.set('k', name)
        await table.set('__proto__', { owner: name })
      }
      for (const name of names) {
        expect(await service.table(name).get('k')).toBe(name)
        expect(await service.table(name).get('__proto__')).toEqual({ owner: name })
      }
      expect(await service.history().length()).toBe(1)
      await service.table('history').clear()
      expect(await service.history().length()).toBe(1)
      expect(await service.table('ht').get('k')).toBe('ht')
    }
  })
})

describe('away', () => {
  it('a storage that was opened without its server finds it later', { timeout: 60_000 }, async () => {
    const server = await OwnServer.start()
    ends.push(() => server.dispose())
    await server.kill()
    const storage = owned(
      await openStorage({ backend: 'redis', url: server.url, resilience: { onUnavailable: 'reject' } }),
    )
    const bare = owned(new RedisAdapter(server.url))
    // More often than a client that gives up after some tries would dial.
    for (let n = 0; n < 8; n++) {
      for (const one of [storage, bare]) {
        await expect(one.createSession('ada', {}, { timeoutMs: 300 })).rejects.toMatchObject({
          code: expect.stringMatching(/^STORAGE_(UNAVAILABLE|TIMEOUT|CIRCUIT_OPEN)$/),
        })
      }
      expect((await storage.status()).backend).toBe('redis')
    }
    await server.start()
    for (const one of [storage, bare]) {
      const session = await until(() => one.createSession('ada', {}).catch(() => null), 'it is found', 30_000)
      const client = rawClient(server.url)
      expect((await client.keys('*')).length).toBeGreaterThan(0)
      client.disconnect()
      expect(await one.getSession(session.sessionId)).toMatchObject({ version: 1 })
    }
  })

  it('what was never seen is not answered while the server is away', async () => {
    const storage = owned(new ResilientStorage(new MemoryStorage(), { chaos: {} }))
    const { sessionId } = await storage.createSession('ada', {})
    await storage.queue.push('q', 1)
    storage.simulateOutage(true)
    await refusal(storage.listSessions('bob'), UnavailableError, 'STORAGE_UNAVAILABLE')
    await refusal(storage.queue.pop('q', { timeoutSeconds: 0 }), UnavailableError, 'STORAGE_UNAVAILABLE')
    await refusal(storage.kv.get('k'), UnavailableError, 'STORAGE_UNAVAILABLE')
    await refusal(storage.cache.get('k'), UnavailableError, 'STORAGE_UNAVAILABLE')
    await refusal(storage.service('s').table('t').get('k'), UnavailableError, 'STORAGE_UNAVAILABLE')
    storage.simulateOutage(false)
    await until(async () => (await storage.status()).state === 'healthy', 'it is back')
    expect(await storage.getSession(sessionId)).not.toBeNull()
    expect(await storage.queue.pop('q', { timeoutSeconds: 0 })).toBe(1)
  })

  it('a value deleted while the server is away stays deleted, or the caller is told that it was not', async () => {
    const storage = owned(new ResilientStorage(new MemoryStorage(), { chaos: {} }))
    await storage.cache.set('k', 'old')
    storage.simulateOutage(true)
    const deleted = await storage.cache.delete('k').then(
      () => true,
      (error) => {
        expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE', outcome: 'not-applied' })
        return false
      },
    )
    storage.simulateOutage(false)
    await until(async () => (await storage.status()).state === 'healthy', 'it is back')
    if (!deleted) expect(await storage.cache.delete('k')).toBe(true)
    await until(async () => (await storage.cache.get('k')) === null, 'it is deleted there as well')
  })
})
