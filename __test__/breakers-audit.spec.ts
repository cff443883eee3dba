// Breakers in memory or on Redis whose changes are written down in a database as well.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { databases, sqlite } from './support/databases.js'
import { type BreakerStoreOptions, openBreakers, SqlBreakers } from './support/flowkeep.js'
import { rawClient, redisUrl, sweepAll, uniquePrefix } from './support/redis.js'

const down = () => Promise.reject(new Error('down'))
const up = () => Promise.resolve('up')

const client = rawClient(redisUrl())
const prefixes: string[] = []
afterAll(async () => {
  await sweepAll(client, prefixes)
  client.disconnect()
})

function onRedis(audit: string): BreakerStoreOptions {
  const prefix = uniquePrefix()
  prefixes.push(prefix)
  return { driver: 'redis', url: redisUrl(), prefix, audit }
}

it.each(databases().map((database) => [database.name, database] as const))(
  'writes down in %s what changes on Redis, once',
  async (_, { url, prefix, dispose }) => {
    const stores = { shared: onRedis('book'), book: { driver: 'sql', url, prefix } } as const
    const [one, other] = [0, 1].map(() => openBreakers({ stores, default: 'shared' }))
    if (!one || !other) throw new Error('two processes')
    try {
      const config = { failureThreshold: 2, context: 'me' }
      const [a, b] = [one.get('upstream', config), other.get('upstream', config)]
      expect(await b.call(up)).toBe('up')
      for (let n = 0; n < 2; n++) await expect(a.call(down)).rejects.toThrow('down')
      await a.state()
      await b.isolate({ reason: 'maintenance', actor: 'ops' })
      await a.reset({ actor: 'ops' })
      await Promise.all([one.flush(), other.flush()])
      // A second time there is nothing to bring.
      await Promise.all([one.flush(), other.flush()])
      const book = one.store('book') as SqlBreakers
      const { items } = await book.events()
      expect(items.length).toBe(3)
      const byGeneration = items.toSorted((left, right) => left.generation - right.generation)
      expect(byGeneration).toMatchObject([
        { name: 'upstream', context: 'me', event: 'opened', cause: 'consecutive_failures', failures: 2 },
        { event: 'isolated', reason: 'maintenance', actor: 'ops' },
        { event: 'reset', actor: 'ops' },
      ])
      expect(await book.query()).toMatchObject([{ name: 'upstream', context: 'me', state: 'closed' }])
      expect(await book.countTransitions({ event: 'isolated' })).toBe(1)
    } finally {
      await Promise.all([one.close(), other.close()])
      dispose()
    }
  },
)

it('never keeps a call waiting, and tells what did not fit while the database was away', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flowkeep-audit-'))
  const url = `sqlite://${join(folder, 'late', 'book.db')}?mode=rwc`
  const opened = openBreakers({
    stores: { here: { driver: 'memory', audit: 'book' }, book: { driver: 'sql', url, timeoutMs: 20_000 } },
    default: 'here',
  })
  try {
    const breaker = opened.get('busy')
    await opened.get('quiet').isolate({ reason: 'once' })
    for (let n = 0; n < 600; n++) {
      await breaker.isolate()
      expect((await breaker.reset()).state).toBe('closed')
      expect(await breaker.call(up)).toBe('up')
    }
    await expect(opened.flush()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    mkdirSync(join(folder, 'late'))
    await opened.flush()
    const book = opened.store('book') as SqlBreakers
    const { items } = await book.events({ name: 'busy', limit: 1_000 })
    const [last, range] = [items[0], items.at(-1)]
    expect(last).toMatchObject({ event: 'reset', generation: 1_200 })
    expect(range).toMatchObject({ event: 'dropped', dropped: 1_200 - (items.length - 1) })
    expect(range?.droppedSince).toBeInstanceOf(Date)
    expect(Number(range?.droppedSince)).toBeLessThanOrEqual(Number(range?.at))
    expect((await book.events({ name: 'quiet' })).items).toMatchObject([
      { event: 'isolated', reason: 'once' },
    ])
    expect(await book.countTransitions()).toBe(1_000)
  } finally {
    await opened.close()
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)

it('writes down what is left when it is closed', async () => {
  const { url, dispose } = sqlite()
  const opened = openBreakers({
    stores: { default: { driver: 'memory', audit: 'book' }, book: { driver: 'sql', url } },
  })
  await opened.get('upstream').isolate({ actor: 'ops' })
  await opened.close()
  const book = new SqlBreakers({ url })
  expect((await book.events()).items).toMatchObject([{ event: 'isolated', actor: 'ops' }])
  await book.close()
  dispose()
})

it('takes a database only, of the stores or of DATABASE_URL', async () => {
  const { url, dispose } = sqlite()
  const wrong = [
    { default: { driver: 'memory', audit: 'nowhere' } },
    { default: { driver: 'memory', audit: 'other' }, other: { driver: 'memory' } },
    { default: { driver: 'sql', url, audit: 'default' } },
  ] as const
  for (const stores of wrong) {
    expect(() => openBreakers({ stores })).toThrow(expect.objectContaining({ code: 'STORAGE_CONFIG' }))
  }
  const before = process.env.DATABASE_URL
  process.env.DATABASE_URL = url
  const opened = openBreakers({ stores: { default: { driver: 'memory', audit: 'sql' } } })
  await opened.get('upstream').isolate()
  await opened.close()
  if (before === undefined) delete process.env.DATABASE_URL
  else process.env.DATABASE_URL = before
  const book = new SqlBreakers({ url })
  expect(await book.countTransitions()).toBe(1)
  await book.close()
  dispose()
})

it('opens what the environment says', async () => {
  const { url, dispose } = sqlite()
  const names = ['FLOWKEEP_BREAKER_STORE', 'DATABASE_URL', 'REDIS_URL'] as const
  const before = names.map((name) => [name, process.env[name]] as const)
  for (const name of names) delete process.env[name]
  try {
    const scope = async () => {
      const opened = openBreakers()
      const { scope } = await opened.get('upstream').state()
      const tables = opened.store() instanceof SqlBreakers
      await opened.close()
      return [scope, tables]
    }
    expect(await scope()).toEqual(['local', false])
    process.env.FLOWKEEP_BREAKER_STORE = 'sql'
    expect(() => openBreakers()).toThrow(/DATABASE_URL/)
    process.env.DATABASE_URL = url
    expect(await scope()).toEqual(['shared', true])
    process.env.FLOWKEEP_BREAKER_STORE = 'redis'
    expect(() => openBreakers()).toThrow(/REDIS_URL/)
    process.env.REDIS_URL = redisUrl()
    expect(await scope()).toEqual(['shared', false])
    process.env.FLOWKEEP_BREAKER_STORE = 'disk'
    expect(() => openBreakers()).toThrow(expect.objectContaining({ code: 'STORAGE_CONFIG' }))
    // Among named stores it names one of them.
    process.env.FLOWKEEP_BREAKER_STORE = 'book'
    const stores = { default: { driver: 'memory' }, book: { driver: 'sql', url } } as const
    const opened = openBreakers({ stores })
    expect(opened.store()).toBe(opened.store('book'))
    await opened.close()
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    dispose()
  }
})
