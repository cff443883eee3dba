import { CREATED, SCRIPTS, TTL_MS } from './redis.mjs'

/** @typedef {typeof import('ioredis').Redis} RedisClass */
/** @typedef {import('ioredis').Redis & Record<keyof typeof SCRIPTS, (...args: string[]) => Promise<unknown>>} Client */

/**
 * @param {'ioredis' | 'ioredis-5'} library two majors, one face
 * @param {boolean} enableAutoPipelining one write for the commands of a tick
 * @returns {(url: string) => Promise<import('./redis.mjs').Driver>}
 */
export const ioredis = (library, enableAutoPipelining) => async (url) => {
  const { Redis } = /** @type {{ Redis: RedisClass }} */ (await import(library))
  const client = /** @type {Client} */ (new Redis(url, { enableAutoPipelining }))
  for (const [name, { keys, lua }] of Object.entries(SCRIPTS))
    client.defineCommand(name, { numberOfKeys: keys, lua })
  return {
    get: (key) => client.get(key),
    getMany: (keys) => client.mget(keys),
    members: (index) => client.zrange(index, '0', '-1'),
    create: async ({ record, text, index, score, id, events }) => {
      const replies = await client
        .multi()
        .set(record, text, 'PX', TTL_MS)
        .zadd(index, score, id)
        .xadd(events, '*', 'type', CREATED, 'sessionId', id)
        .exec()
      // EXEC rejects only as a whole; a command that failed inside says so in its own reply.
      for (const [error] of replies ?? []) if (error) throw error
    },
    run: (script, keys, args) => client[script](...keys, ...args),
    close: () => client.quit(),
  }
}
