import { CREATED, SCRIPTS, TTL_MS } from './redis.mjs'

/**
 * @param {'redis' | 'redis-5'} library two majors, one face
 * @returns {(url: string) => Promise<import('./redis.mjs').Driver>}
 */
export const nodeRedis = (library) => async (url) => {
  const { createClient } = /** @type {typeof import('redis')} */ (await import(library))
  const client = createClient({ url })
  await client.connect()
  /** @type {Record<string, string>} */
  const sha = {}
  for (const [name, { lua }] of Object.entries(SCRIPTS)) sha[name] = await client.scriptLoad(lua)
  return {
    get: (key) => client.get(key),
    getMany: (keys) => client.mGet(keys),
    members: (index) => client.zRange(index, 0, -1),
    create: ({ record, text, index, score, id, events }) =>
      client
        .multi()
        .set(record, text, { PX: TTL_MS })
        .zAdd(index, { score, value: id })
        .xAdd(events, '*', { type: CREATED, sessionId: id })
        .exec(),
    run: (script, keys, args) => client.evalSha(sha[script] ?? '', { keys, arguments: args }),
    close: () => client.close(),
  }
}
