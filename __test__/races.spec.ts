import { afterAll, describe, expect, it, vi } from 'vitest'
import { existing, Fixture, newUser } from './behavior/fixture.js'
import { type Event, type IStorage, MemoryStorage, NotFoundError, RedisAdapter } from './support/flowkeep.js'
import { census, rawClient, redisUrl, sweepAll, uniquePrefix } from './support/redis.js'
import { until } from './support/until.js'

vi.setConfig({ testTimeout: 600_000 })

/** Writes that race against a deadline: a taste of them, or as many as the environment says. */
const races = Number(process.env.FLOWKEEP_RACES ?? 2_000)
/** Sessions of one user that race together. */
const together = 250

const url = redisUrl()
const client = rawClient(url)
const prefixes: string[] = []

afterAll(async () => {
  await sweepAll(client, prefixes)
  client.disconnect()
})

/** One write below a session. Any of them may come too late. */
async function write(storage: IStorage, sessionId: string, round: number): Promise<unknown> {
  switch (round % 5) {
    case 0:
      return storage.updateSession(sessionId, { title: `round ${round}`, state: 'paused' })
    case 1:
      return storage.touchSession(sessionId)
    case 2: {
      const { chainId } = await storage.createChain(sessionId, { title: 'late?' }, { idempotencyKey: 'one' })
      const { stepId } = await storage.createStep(chainId, { action: 'later?' })
      return storage.updateStep(stepId, { status: 'in_progress' })
    }
    case 3:
      return storage.appendEvent(sessionId, { type: 'custom:race' })
    default:
      return storage.updateSession(sessionId, { state: 'active' })
  }
}

/** Writes of one racer at the most: those who share a session could keep it alive for ever. */
const mostWrites = 40

/** Writes to a new session until it is too late for that; the last write lost its race. */
async function race(storage: IStorage, userId: string, n: number): Promise<void> {
  const options = n % 4 === 0 ? { idempotencyKey: `key ${n % 40}` } : {}
  const { sessionId } = await storage.createSession(userId, {}, options)
  for (let round = n; round < n + mostWrites; round++) {
    try {
      await write(storage, sessionId, round)
    } catch (error) {
      expect(error).toBeInstanceOf(NotFoundError)
      return
    }
    // The deadline slides with every write: a pause of about its length lets it pass.
    const pause = Date.now() + (round % 7)
    await until(() => Date.now() >= pause, 'the pause is over')
  }
}

/** What is wrong with a user's feed: every session ends once, and nothing follows its end. */
function complaints(feed: readonly Event[]): string[] {
  const wrong: string[] = []
  const ended = new Set<string>()
  const made = new Set<string>()
  for (const { type, sessionId } of feed) {
    if (ended.has(sessionId)) wrong.push(`${type} after the end of ${sessionId}`)
    if (type === 'session:created') made.add(sessionId)
    if (type === 'session:expired') ended.add(sessionId)
  }
  for (const id of made) if (!ended.has(id)) wrong.push(`the end of ${id} was not noted`)
  if (made.size === 0) wrong.push('no session was made')
  return wrong
}

describe.each([
  ['memory', () => new MemoryStorage({ sessionTtlSeconds: 0.003, sweepSeconds: 0.01 })],
  ...[1, 2, 3, 5].map((ms): [string, () => IStorage] => [
    `redis, ${ms} ms`,
    () => {
      const prefix = uniquePrefix()
      prefixes.push(prefix)
      return new RedisAdapter(url, {
        prefix,
        sessionTtlSeconds: ms / 1_000,
        sweepSeconds: 0.01,
        timeoutMs: 60_000,
      })
    },
  ]),
])('writes against a deadline: %s', (name, open) => {
  it('bring nothing back, and leave nothing', async () => {
    const storage = open()
    const fixture = new Fixture(storage)
    const prefix = existing(name === 'memory' ? '' : prefixes.at(-1))
    const keys = () => (name === 'memory' ? Promise.resolve([]) : census(client, prefix))
    const wrong: string[] = []
    let raced = 0
    while (raced < races / 5) {
      const userId = newUser()
      let racing = true
      // A tree without an end would stay for ever.
      const watch = async () => {
        while (racing) {
          for (const key of (await keys()).filter((one) => one.includes('}:t:'))) {
            if ((await client.pttl(key)) === -1) wrong.push(`${key} has no end`)
          }
          await client.ping()
        }
      }
      const watching = watch()
      await Promise.all(Array.from({ length: together }, (_, n) => race(storage, userId, n)))
      racing = false
      await watching
      raced += together
      await until(async () => {
        await storage.sweep()
        const { total } = await storage.sessionCounts(userId)
        return total === 0
      }, 'every end is noted')
      wrong.push(...complaints(await fixture.eventsOf({ userId })))
      expect(await storage.listSessions(userId)).toEqual([])
    }
    expect(wrong).toEqual([])
    // Only feeds are left, each with its end.
    for (const key of await keys()) {
      expect(key).toContain('}:f:')
      expect(await client.pttl(key)).toBeGreaterThan(0)
    }
    await storage.close()
  })
})
