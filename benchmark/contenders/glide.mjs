import { CREATED, SCRIPTS, TTL_MS } from './redis.mjs'

/** Above the highest number of calls in flight that is measured; glide refuses more than 1,000 by default. */
const INFLIGHT_LIMIT = 4_000
const REQUEST_TIMEOUT_MS = 5_000

/**
 * @param {string} url
 * @returns {Promise<import('./redis.mjs').Driver>}
 */
export async function glide(url) {
  const { Batch, GlideClient, Script, TimeUnit } = await import('@valkey/valkey-glide')
  const { hostname, port } = new URL(url)
  const client = await GlideClient.createClient({
    addresses: [{ host: hostname, port: Number(port) }],
    inflightRequestsLimit: INFLIGHT_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
  })
  const scripts = /** @type {Record<keyof typeof SCRIPTS, InstanceType<typeof Script>>} */ (
    Object.fromEntries(Object.entries(SCRIPTS).map(([name, { lua }]) => [name, new Script(lua)]))
  )
  const expiry = { type: TimeUnit.Milliseconds, count: TTL_MS }
  return {
    get: (key) => /** @type {Promise<string | null>} */ (client.get(key)),
    getMany: (keys) => /** @type {Promise<(string | null)[]>} */ (client.mget(keys)),
    members: (index) => /** @type {Promise<string[]>} */ (client.zrange(index, { start: 0, end: -1 })),
    create: ({ record, text, index, score, id, events }) =>
      client.exec(
        new Batch(true)
          .set(record, text, { expiry })
          .zadd(index, { [id]: score })
          .xadd(events, [
            ['type', CREATED],
            ['sessionId', id],
          ]),
        true,
      ),
    run: (script, keys, args) => client.invokeScript(scripts[script], { keys, args }),
    close: async () => client.close(),
  }
}
