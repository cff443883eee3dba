import { describe, expect, it, vi } from 'vitest'
import {
  ConfigError,
  type IStorage,
  MemoryStorage,
  openStorage,
  RedisAdapter,
  StorageError,
} from './support/flowkeep.js'
import { type Hostile, hostiles } from './support/hostile.js'
import { isLegal, type Legal, never, optional, text } from './support/legal.js'
import { redisUrl } from './support/redis.js'

vi.setConfig({ testTimeout: 60_000 })

// A database of its own, see bad-input.spec.ts.
const url = new URL('/6', redisUrl()).href

const seconds: Legal = (value) => value === undefined || (Number.isFinite(value) && (value as number) >= 0)
const anyObject: Legal = (value) => value === undefined || (typeof value === 'object' && value !== null)
const anything: Legal = () => true

/** What a storage is opened with, and what each option may be. */
const options: Readonly<Record<string, Legal>> = {
  prefix: optional(text(0, 128)),
  sessionTtlSeconds: seconds,
  maxSessionLifeSeconds: seconds,
  sweepSeconds: seconds,
  timeoutMs: (value) => value === undefined || (Number.isFinite(value) && (value as number) > 0),
  limits: anyObject,
  schemas: anyObject,
  onCorrupt: (value) => value === undefined || value === 'throw' || value === 'skip',
}

/** The ways to a storage. Each gives an error of the constructor as a rejection, to be looked at alike. */
const ways: Readonly<Record<string, (given: unknown) => Promise<IStorage>>> = {
  MemoryStorage: async (given) => new MemoryStorage(given as object),
  RedisAdapter: async (given) => new RedisAdapter(url, given as object),
  openStorage: (given) => {
    const open = openStorage as (options: unknown) => Promise<IStorage>
    return open(isPlain(given) ? { backend: 'memory', ...given } : given)
  },
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

/** Opens, closes what was opened, and says what is wrong with the outcome. */
async function complaint(
  open: () => Promise<IStorage>,
  legal: boolean,
  name: string,
  hostile: Hostile,
): Promise<string[]> {
  try {
    const storage = await open()
    await storage.close()
    return legal ? [] : [`${hostile.name} was accepted`]
  } catch (error) {
    if (!(error instanceof StorageError)) return [`${hostile.name} made ${String(error).slice(0, 100)}`]
    if (!(error instanceof ConfigError) || error.code !== 'STORAGE_CONFIG')
      return [`${hostile.name} is a ${error.code}`]
    if (!names(error.message, name))
      return [`${hostile.name}: the message does not name ${name}: ${error.message.slice(0, 100)}`]
    const { text: long = '\u0000never' } = hostile
    return error.message.includes(long.slice(0, 101)) ? [`${hostile.name} is shown at length`] : []
  }
}

/** A message names its option, or says that there are no options at all. */
function names(message: string, option: string): boolean {
  return message.toLowerCase().includes(option.toLowerCase()) || message.includes('expected object')
}

describe.each(Object.entries(ways))('bad options: %s', (_, open) => {
  it.each(Object.entries(options))('%s', async (option, legal) => {
    const wrong: string[] = []
    for (const hostile of hostiles) {
      const value = hostile.make()
      wrong.push(
        ...(await complaint(() => open({ [option]: value }), isLegal(legal, value), option, hostile)),
      )
    }
    expect(wrong).toEqual([])
  })

  it('all of them', async () => {
    const wrong: string[] = []
    const strange = hostiles.filter(({ make }) => typeof make() !== 'object' || make() === null)
    for (const hostile of strange) {
      const value = hostile.make()
      wrong.push(...(await complaint(() => open(value), value === undefined, 'options', hostile)))
    }
    expect(wrong).toEqual([])
  })

  it.each([5e-4, 1e-9, 2 ** 31, Number.MAX_SAFE_INTEGER, 1e300])(
    'a TTL of %d s gives a real deadline or is refused',
    async (sessionTtlSeconds) => {
      let storage: IStorage
      try {
        storage = await open({ sessionTtlSeconds })
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError)
        return
      }
      try {
        const { expiresAt, createdAt } = await storage.createSession('ann', {})
        expect(Number(expiresAt)).toBeGreaterThanOrEqual(createdAt.getTime())
      } finally {
        await storage.close()
      }
    },
  )
})

describe('bad options of openStorage alone', () => {
  const backend: Legal = (value) => value === undefined || value === 'memory' || value === 'redis'

  it.each([
    ['backend', {}, backend],
    ['url', { backend: 'redis' }, never],
    ['logger', { backend: 'memory' }, anything],
  ] as const)('%s', async (option, base, legal) => {
    const open = openStorage as (options: unknown) => Promise<IStorage>
    const wrong: string[] = []
    for (const hostile of hostiles) {
      const value = hostile.make()
      if (option === 'url' && value === undefined) continue
      wrong.push(
        ...(await complaint(
          () => open({ ...base, [option]: value }),
          isLegal(legal, value),
          option,
          hostile,
        )),
      )
    }
    expect(wrong).toEqual([])
  })

  it('an unknown option is named', async () => {
    const open = openStorage({ backend: 'memory', sesionTtlSeconds: 5 } as object)
    await expect(open).rejects.toMatchObject({
      code: 'STORAGE_CONFIG',
      message: expect.stringContaining('sesionTtlSeconds'),
    })
  })

  it.each([
    undefined,
    null,
    1,
    '',
    'localhost',
    'http://localhost',
    'redis://h:99999',
    'redis://h/x',
    'redis://h?db=x',
    'redis://h?timeout=5',
    'redis://a,b',
    'redis+sentinel://h',
    'redis-cluster://h/1',
    {},
    [],
  ])('RedisAdapter refuses the URL %j', (bad) => {
    expect(() => new RedisAdapter(bad as string)).toThrow(ConfigError)
  })

  it('a URL is told as what it was given as, and its parameters by name', async () => {
    const bad = 'redis://:hidden-word@h?timeout=5'
    expect(() => new RedisAdapter(bad)).toThrow("url can't be used: its parameter timeout")
    vi.stubEnv('NODE_ENV', 'production')
    vi.stubEnv('REDIS_URL', bad)
    try {
      await expect(openStorage()).rejects.toThrow("REDIS_URL can't be used: its parameter timeout")
    } finally {
      vi.unstubAllEnvs()
    }
  })
})
