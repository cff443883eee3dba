// A census of everything that the server holds, names and contents: nothing of an erased user is left, nothing of others is gone.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { existing } from './behavior/fixture.js'
import { RedisAdapter } from './support/flowkeep.js'
import { rawClient, redisUrl, uniquePrefix } from './support/redis.js'
import { until } from './support/until.js'

describe('eraseUser', () => {
  const prefix = uniquePrefix()
  const client = rawClient(redisUrl())
  let storage: RedisAdapter
  /** Its sessions do not last. */
  let brief: RedisAdapter
  beforeAll(() => {
    const options = { prefix, feedOfAll: true, sweepSeconds: 0 }
    storage = new RedisAdapter(redisUrl(), options)
    brief = new RedisAdapter(redisUrl(), { ...options, sessionTtlSeconds: 0.3 })
  })
  afterAll(async () => {
    await Promise.all([storage.close(), brief.close()])
    client.disconnect()
  })

  /** Every key below the prefix with all that it holds, as text. */
  async function census(): Promise<Map<string, string>> {
    const held = new Map<string, string>()
    for (const key of (await client.call('KEYS', `${prefix}*`)) as string[]) {
      const commands: Record<string, (string | number)[]> = {
        hash: ['HGETALL', key],
        zset: ['ZRANGE', key, 0, -1],
        stream: ['XRANGE', key, '-', '+'],
        string: ['GET', key],
        list: ['LRANGE', key, 0, -1],
      }
      const type = (await client.call('TYPE', key)) as string
      const [name, ...rest] = existing(commands[type]) as [string, ...(string | number)[]]
      held.set(key, JSON.stringify(await client.call(name, ...rest)))
    }
    return held
  }

  async function live(userId: string, by = storage): Promise<string> {
    const { sessionId } = await by.createSession(userId, { title: userId }, { idempotencyKey: 'one' })
    const { chainId } = await by.createChain(sessionId, { title: userId }, { idempotencyKey: 'two' })
    for (const last of ['completed', 'failed'] as const) {
      const { stepId } = await by.createStep(chainId, { action: userId })
      await by.updateStep(stepId, { status: 'in_progress' }, { leaseSeconds: 60 })
      if (last === 'failed') await by.updateStep(stepId, { status: last, error: userId })
    }
    const open = await by.createChain(sessionId, { title: 'cancelled' })
    await by.updateChain(open.chainId, { status: 'cancelled' })
    return sessionId
  }

  it('leaves nothing of the user, whatever there was', async () => {
    const [gone, kept] = ['user-gone-0', 'user-kept-0']
    const expired = await live(gone, brief)
    await until(async () => (await storage.getSession(expired)) === null, 'a session has expired')
    await storage.sweep()
    await live(kept)
    await live(gone)
    const before = await census()
    expect([...before].filter(([key, held]) => (key + held).includes(gone)).length).toBeGreaterThan(5)
    expect(await storage.eraseUser(gone)).toEqual({ sessions: 1 })
    const after = await census()
    expect([...after].filter(([key, held]) => (key + held).includes(gone))).toEqual([])
    expect([...after].filter(([key, held]) => (key + held).includes(kept)).length).toBeGreaterThan(5)
    // What leads to the other user is as it was.
    for (const [key, held] of before) {
      if (key.includes(kept)) expect(after.get(key)).toBe(held)
    }
  })
})
