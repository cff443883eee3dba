import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { existing, Fixture, newUser } from './behavior/fixture.js'
import { type IStorage, RedisAdapter, type StorageOptions } from './support/flowkeep.js'
import { everyMethod } from './support/methods.js'
import { census, commandCalls, rawClient, uniquePrefix } from './support/redis.js'
import { OwnServer } from './support/server.js'
import { nextMoment, until } from './support/until.js'

let server: OwnServer
let client: Redis

beforeAll(async () => {
  server = await OwnServer.start()
  client = rawClient(server.url)
})

afterAll(async () => {
  client.disconnect()
  await server.dispose()
})

/** Runs a test on a storage with a prefix of its own. */
async function withStorage(
  options: StorageOptions,
  test: (at: {
    storage: IStorage
    fixture: Fixture
    prefix: string
    keys(): Promise<string[]>
  }) => Promise<void>,
): Promise<void> {
  const prefix = options.prefix ?? uniquePrefix()
  const storage = new RedisAdapter(server.url, { ...options, prefix })
  try {
    await test({ storage, fixture: new Fixture(storage), prefix, keys: () => census(client, prefix) })
  } finally {
    await storage.close()
  }
}

/** Calls every method once, on a tree of its own. */
async function useEverything(storage: IStorage): Promise<void> {
  const userId = newUser()
  const { sessionId } = await storage.createSession(userId, {}, { idempotencyKey: 'key' })
  const { chainId } = await storage.createChain(sessionId, { title: 'one' }, { idempotencyKey: 'key' })
  const { stepId } = await storage.createStep(chainId, { action: 'one' }, { idempotencyKey: 'key' })
  await storage.updateStep(stepId, (step) => ({ inputs: { was: step.version } }))
  for (const { name, call } of everyMethod) {
    if (name !== 'eraseUser') await call(storage, { userId, sessionId, chainId, stepId })
  }
  await storage.eraseUser(newUser())
}

/** The part of an id that all ids of one tree share. */
const treeOf = (sessionId: string) => sessionId.slice(4)

const tagOf = (key: string) => /\{([^{}]+)\}/.exec(key)?.[1]

describe('the keys of a tree', () => {
  it('are as many for one step as for hundreds', () =>
    withStorage({}, async ({ storage, keys }) => {
      const userId = newUser()
      const { sessionId } = await storage.createSession(userId, {}, { idempotencyKey: 'a session' })
      const { chainId } = await storage.createChain(
        sessionId,
        { title: 'one' },
        { idempotencyKey: 'a chain' },
      )
      await storage.createStep(chainId, { action: 'one' }, { idempotencyKey: 'a step' })
      const small = await keys()
      expect(small.length).toBeGreaterThan(0)
      for (let c = 0; c < 6; c++) {
        const chain = await storage.createChain(
          sessionId,
          { title: `chain ${c}` },
          { idempotencyKey: `chain ${c}` },
        )
        const create = (n: number) =>
          storage.createStep(chain.chainId, { action: `${n}` }, { idempotencyKey: `${n}` })
        const steps = await Promise.all(Array.from({ length: 50 }, (_, n) => create(n)))
        await Promise.all(steps.map((step) => storage.updateStep(step.stepId, { status: 'in_progress' })))
      }
      expect(await keys()).toEqual(small)
    }))

  it('are as many for every session of a user', () =>
    withStorage({}, async ({ fixture, keys }) => {
      const userId = newUser()
      const counts: number[] = []
      for (let n = 0; n < 5; n++) {
        const { sessionId } = await fixture.session({}, userId)
        await fixture.storage.createChain(sessionId, { title: 'one' })
        counts.push((await keys()).length)
      }
      const growth = counts.slice(1).map((count, i) => count - (counts[i] ?? 0))
      expect(new Set(growth).size).toBe(1)
    }))

  it('share one hash tag with all that is the user’s', () =>
    withStorage({}, async ({ storage, keys }) => {
      const userId = newUser()
      for (let n = 0; n < 3; n++) {
        const { sessionId } = await storage.createSession(userId, {}, { idempotencyKey: `${n}` })
        const { chainId } = await storage.createChain(sessionId, { title: 'one' })
        await storage.createStep(chainId, { action: 'one' })
      }
      const tags = new Set((await keys()).map(tagOf))
      expect([...tags]).toEqual([expect.any(String)])
    }))

  it('are spread over the tags by the user', () =>
    withStorage({}, async ({ fixture, keys }) => {
      await Promise.all(Array.from({ length: 100 }, () => fixture.session()))
      expect(new Set((await keys()).map(tagOf)).size).toBeGreaterThan(50)
    }))

  it.each(['{x}', '{', '}', '{}', 'a:{b}:c', '}{'])('have one hash tag for the user %s', (odd) =>
    withStorage({}, async ({ storage, keys }) => {
      const { sessionId } = await storage.createSession(odd, { title: '{y}' }, { idempotencyKey: '{z}' })
      await storage.createChain(sessionId, { title: '{y}' })
      expect(new Set((await keys()).map(tagOf)).size).toBe(1)
    }),
  )

  it('begin with the prefix, every one of them', () =>
    withStorage({}, async ({ storage, keys }) => {
      await client.flushall()
      await useEverything(storage)
      const own = await keys()
      expect(await client.dbsize()).toBe(own.length)
      expect(own.length).toBeGreaterThan(0)
    }))
})

describe('the life of the keys', () => {
  const lives = (keys: readonly string[]) => Promise.all(keys.map((key) => client.pttl(key)))

  // What leads to sessions has no end of its own: the sweep takes out of it what has ended.
  it('ends for every one of them, whatever was called', () =>
    withStorage({ sessionTtlSeconds: 500 }, async ({ storage, keys }) => {
      await useEverything(storage)
      const fixture = new Fixture(storage)
      const chain = await fixture.chainOf(['completed', 'failed', 'pending'])
      const session = existing(await storage.getSession(chain.sessionId))
      const left = existing(session.expiresAt).getTime() - Date.now()
      const all = (await keys()).filter((key) => !/\}:[ukd]:/.test(key))
      const found = await lives(all)
      expect(all.length).toBeGreaterThan(2)
      expect(all.filter((_, i) => (found[i] ?? -1) <= 0)).toEqual([])
      const own = (await keys()).filter((key) => key.includes(treeOf(session.sessionId)))
      for (const pttl of await lives(own)) expect(Math.abs(pttl - left)).toBeLessThan(2000)
    }))

  it('of what is archived is seven days, whatever the life of its session is', () =>
    withStorage({ sessionTtlSeconds: 500 }, async ({ storage, keys }) => {
      const fixture = new Fixture(storage)
      const chain = await fixture.chainOf(['completed'])
      const [archive, ...more] = (await keys()).filter((key) => /\}:a:/.test(key))
      expect(more).toEqual([])
      const left = existing(chain.archivedAt).getTime() + 7 * 86_400_000 - Date.now()
      expect(Math.abs((await client.pttl(existing(archive))) - left)).toBeLessThan(20_000)
    }))

  it('is the same for the whole tree after a write to its last leaf', () =>
    withStorage({ sessionTtlSeconds: 500 }, async ({ fixture, keys }) => {
      const step = await fixture.step()
      const own = (await keys()).filter((key) => key.includes(treeOf(step.sessionId)))
      expect(own.length).toBeGreaterThan(0)
      for (const key of own) await client.pexpire(key, 100_000)
      await nextMoment()
      await fixture.storage.updateStep(step.stepId, { action: 'moved' })
      for (const pttl of await lives(own)) expect(pttl).toBeGreaterThan(400_000)
    }))

  it('is never shortened by a storage with a shorter TTL', () =>
    withStorage({ sessionTtlSeconds: 5000 }, async ({ fixture, prefix, keys }) => {
      const step = await fixture.step()
      const before = existing(await fixture.storage.getSession(step.sessionId))
      await withStorage({ sessionTtlSeconds: 1, prefix }, async ({ storage }) => {
        await storage.updateStep(step.stepId, { action: 'moved' })
        await storage.touchSession(step.sessionId)
        await storage.createChain(step.sessionId, { title: 'more' })
        expect(existing(await storage.getSession(step.sessionId)).expiresAt).toEqual(before.expiresAt)
      })
      const own = (await keys()).filter((key) => key.includes(treeOf(step.sessionId)))
      expect(own.length).toBeGreaterThan(0)
      for (const pttl of await lives(own)) expect(pttl).toBeGreaterThan(4_000_000)
    }))

  it('has no end when the storage is told so', () =>
    withStorage({ sessionTtlSeconds: 0 }, async ({ fixture, keys, storage }) => {
      const step = await fixture.step()
      const own = (await keys()).filter((key) => key.includes(treeOf(step.sessionId)))
      expect(own.length).toBeGreaterThan(0)
      for (const pttl of await lives(own)) expect(pttl).toBe(-1)
      await storage.deleteSession(step.sessionId)
      for (const pttl of await lives(await keys())) expect(pttl).toBeGreaterThan(0)
    }))

  it('is over for the whole tree when its deadline has passed', () =>
    withStorage({ sessionTtlSeconds: 0.3 }, async ({ fixture, keys }) => {
      const { sessionId } = await fixture.step()
      const tree = treeOf(sessionId)
      await until(
        async () => (await fixture.storage.getSession(sessionId)) === null,
        'the session has expired',
      )
      await until(async () => !(await keys()).some((key) => key.includes(tree)), 'its keys are gone')
    }))

  it('is over when the session is deleted', () =>
    withStorage({}, async ({ fixture, keys, storage }) => {
      const { sessionId } = await fixture.step()
      const tree = treeOf(sessionId)
      expect((await keys()).some((key) => key.includes(tree))).toBe(true)
      await storage.deleteSession(sessionId)
      expect((await keys()).filter((key) => key.includes(tree))).toEqual([])
    }))
})

describe('the commands', () => {
  it('never walk over the keyspace', () =>
    withStorage({}, async ({ storage }) => {
      await client.config('RESETSTAT')
      await useEverything(storage)
      const calls = await commandCalls(client)
      expect(calls.size).toBeGreaterThan(3)
      for (const name of ['keys', 'scan', 'flushdb', 'flushall', 'randomkey', 'dbsize', 'monitor']) {
        expect([name, calls.get(name) ?? 0]).toEqual([name, 0])
      }
    }))

  it('are allowed to a user without dangerous or administrative ones', async () => {
    await client.call(
      'ACL',
      'SETUSER',
      'plain',
      'on',
      '>secret',
      '~*',
      '&*',
      '+@all',
      '-@dangerous',
      '-@admin',
    )
    const url = server.url.replace('redis://', 'redis://plain:secret@')
    const storage = new RedisAdapter(url, { prefix: uniquePrefix() })
    try {
      await useEverything(storage)
      expect((await storage.status()).state).toBe('healthy')
    } finally {
      await storage.close()
    }
  })

  it('survive the loss of the scripts in the server', () =>
    withStorage({}, async ({ storage }) => {
      await useEverything(storage)
      await client.script('FLUSH')
      await useEverything(storage)
    }))

  it('serve a burst of updates of one record that this storage never read', () =>
    withStorage({}, async ({ fixture, prefix }) => {
      const { sessionId } = await fixture.session()
      await withStorage({ prefix }, async ({ storage }) => {
        const titles = Array.from({ length: 400 }, (_, n) => `title ${n}`)
        const updated = await Promise.all(titles.map((title) => storage.updateSession(sessionId, { title })))
        expect(new Set(updated.map((session) => session.version)).size).toBe(400)
        expect(await storage.getSession(sessionId)).toMatchObject({ version: 401 })
      })
    }))

  it('show what another client changed: nothing stays in a cache', () =>
    withStorage({}, async ({ fixture, prefix }) => {
      const session = await fixture.session({ title: 'first' })
      await withStorage({ prefix }, async ({ storage }) => {
        expect(await storage.getSession(session.sessionId)).toEqual(session)
        const changed = await fixture.storage.updateSession(session.sessionId, { title: 'second' })
        expect(await storage.getSession(session.sessionId)).toEqual(changed)
        expect(await storage.updateSession(session.sessionId, { tags: ['third'] })).toMatchObject({
          title: 'second',
          tags: ['third'],
          version: 3,
        })
        await fixture.storage.deleteSession(session.sessionId)
        expect(await storage.getSession(session.sessionId)).toBeNull()
      })
      const lost = await fixture.session()
      expect(await fixture.storage.getSession(lost.sessionId)).toEqual(lost)
      await client.flushall()
      expect(await fixture.storage.getSession(lost.sessionId)).toBeNull()
    }))
})

describe('a page', () => {
  it('costs what it shows, however many there are', async () => {
    await withStorage({ sweepSeconds: 0 }, async ({ storage }) => {
      const cost = async (userId: string) => {
        const seen = async () => {
          const stats = await client.info('stats')
          const bytes = (name: string) => Number(new RegExp(`${name}:(\\d+)`).exec(stats)?.[1])
          return [bytes('total_net_output_bytes'), bytes('total_commands_processed')] as const
        }
        const costs: number[][] = []
        const asks = [
          () => storage.querySessions({ parent: userId, limit: 10 }),
          () => storage.querySessions({ parent: userId, limit: 10, order: 'desc', state: 'active' }),
          () => storage.sessionCounts(userId),
        ]
        for (const ask of asks) {
          // Somebody else may ask for something in between, a heartbeat for one: the least of three counts.
          const tries: [number, number][] = []
          for (let n = 0; n < 3; n++) {
            const [bytes, commands] = await seen()
            await ask()
            const [bytesThen, commandsThen] = await seen()
            tries.push([bytesThen - bytes, commandsThen - commands])
          }
          costs.push([
            Math.min(...tries.map(([bytes]) => bytes)),
            Math.min(...tries.map(([, calls]) => calls)),
          ])
        }
        return costs
      }
      const fill = async (userId: string, count: number) => {
        for (let from = 0; from < count; from += 100) {
          const some = Array.from({ length: Math.min(100, count - from) }, () =>
            storage.createSession(userId, {}),
          )
          await Promise.all(some)
        }
      }
      const [few, many] = [newUser(), newUser()]
      await fill(few, 20)
      await fill(many, 5_000)
      await cost(few)
      const [ofFew, ofMany] = [await cost(few), await cost(many)]
      for (const [at, [bytes = 0, commands]] of ofMany.entries()) {
        const [bytesOfFew = 0, commandsOfFew] = existing(ofFew[at])
        expect(commands).toBe(commandsOfFew)
        // A number of two more digits is all that differs.
        expect(Math.abs(bytes - bytesOfFew)).toBeLessThan(40)
      }
    })
  })
})
