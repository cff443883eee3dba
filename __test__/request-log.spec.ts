// What the request log leaves in a server, and for how long.
import { afterAll, describe, expect, it } from 'vitest'
import { RedisAdapter } from './support/flowkeep.js'
import { census, rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'

const prefix = uniquePrefix()
const storage = new RedisAdapter(redisUrl(), { prefix, timeoutMs: 20_000 })
const client = rawClient(redisUrl())
const HOUR_MS = 3_600_000
const entry = { ip: '::1', host: 'a.example', method: 'GET', path: '/a/b', status: 500, durationMs: 2_000 }

afterAll(async () => {
  await storage.close()
  await sweep(client, prefix)
  client.disconnect()
})

describe('the request log in Redis', () => {
  it('lies in one slot, and every key of it goes by itself', async () => {
    await storage.requestLog.record({ ...entry, user: 'ada' })
    const keys = await census(client, prefix)
    expect(keys.length).toBeGreaterThan(10)
    expect(new Set(keys.map((key) => /\{\d+\}/.exec(key)?.[0])).size).toBe(1)
    for (const key of keys) {
      const left = await client.pttl(key)
      const isCounted = /:l[stv]:/.test(key)
      expect(left, key).toBeGreaterThan((isCounted ? 48 : 23) * HOUR_MS)
      expect(left, key).toBeLessThanOrEqual((isCounted ? 49 : 25) * HOUR_MS)
    }
  })

  it('counts visitors within two percent', async () => {
    const visitors = Array.from({ length: 3_000 }, (_, n) => `10.1.${n >> 8}.${n & 255}`)
    const at = new Date()
    await Promise.all(
      visitors.map((ip) => storage.requestLog.record({ ...entry, host: 'many.example', ip, at })),
    )
    const hours = await storage.requestLog.hourly({ host: 'many.example', until: at })
    const told = hours.at(-1)?.visitors ?? 0
    expect(Math.abs(told / visitors.length - 1)).toBeLessThan(0.02)
  })
})
