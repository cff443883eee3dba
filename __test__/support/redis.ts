import { randomBytes } from 'node:crypto'
import { Redis, type RedisOptions } from 'ioredis'

/** The URL of the server that `npm test` starts for the tests. Without it the tests fail: they never skip. */
export function redisUrl(): string {
  const url = process.env.FLOWKEEP_TEST_REDIS_URL
  if (url) return url
  throw new Error(
    'FLOWKEEP_TEST_REDIS_URL is not set. Run `npm test`, which starts a Redis server for the tests, ' +
      'or set it to the URL of a server that they may write to.',
  )
}

/** A client that owes nothing to the library: it sees what really is in the server. */
export function rawClient(url: string, options: RedisOptions = {}): Redis {
  return new Redis(url, { maxRetriesPerRequest: 3, ...options })
}

/** A prefix that nobody else uses. */
export function uniquePrefix(): string {
  return `test-${randomBytes(6).toString('hex')}:`
}

/** Every key that contains the prefix, sorted. Companion keys may put a hash tag before it. */
export async function census(client: Redis, prefix: string): Promise<string[]> {
  const found = new Set<string>()
  for await (const keys of client.scanStream({ match: `*${prefix}*`, count: 1000 })) {
    for (const key of keys as string[]) found.add(key)
  }
  return [...found].sort()
}

/** Deletes what a test left under its prefix. */
export async function sweep(client: Redis, prefix: string): Promise<void> {
  const keys = await census(client, prefix)
  if (keys.length > 0) await client.unlink(...keys)
}

/** Deletes what tests left under prefixes that `uniquePrefix` made: one pass over the server for all of them. */
export async function sweepAll(client: Redis, prefixes: readonly string[]): Promise<void> {
  const ours = new Set(prefixes)
  const isOurs = (key: string) => (key.match(UNIQUE) ?? []).some((prefix) => ours.has(prefix))
  for await (const found of client.scanStream({ match: '*test-*', count: 1_000 })) {
    const keys = (found as string[]).filter(isOurs)
    if (keys.length > 0) await client.unlink(...keys)
  }
}

const UNIQUE = /test-[0-9a-f]{12}:/g

/** A field of the server's INFO, as a number. */
export async function infoNumber(client: Redis, section: string, field: string): Promise<number> {
  const text = await client.info(section)
  const line = text.split('\r\n').find((entry) => entry.startsWith(`${field}:`))
  return Number(line?.slice(field.length + 1) ?? 0)
}

/** How often the server was asked for each command since it started. */
export async function commandCalls(client: Redis): Promise<Map<string, number>> {
  const text = await client.info('commandstats')
  const lines = text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)
  return new Map([...lines].map(([, name = '', calls]) => [name, Number(calls)]))
}
