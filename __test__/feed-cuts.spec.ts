// Followers in several processes while every connection is cut again and again: nothing is missing, nothing comes twice,
// each session is in order. `npm run test:feed` runs the long form: 10,000 events, cuts for 30 s.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { crew, type Task } from './support/crew.js'
import { type Event, RedisAdapter } from './support/flowkeep.js'
import { TcpProxy } from './support/proxy.js'
import { OwnServer } from './support/server.js'

const full = process.env.FLOWKEEP_TEST_FEED === 'full'
/** Events of each of the four writers, and the pause between two. */
const [count, pauseMs] = full ? [2500, 11] : [300, 10]
const CUT_EVERY_MS = 50

describe('while connections are cut every 50 ms', () => {
  let server: OwnServer
  let proxy: TcpProxy
  let direct: RedisAdapter
  beforeAll(async () => {
    server = await OwnServer.start()
    proxy = await TcpProxy.start(server.port)
    direct = new RedisAdapter(server.url, { prefix: 'cut:', feedOfAll: true })
  })
  afterAll(async () => {
    await direct.close()
    await proxy.dispose()
    await server.dispose()
  })

  async function logOf(sessionId: string): Promise<Event[]> {
    const log: Event[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await direct.events({ sessionId, limit: 1000, ...(cursor && { cursor }) })
      log.push(...page.items)
      if (page.items.length === 0) return log
      cursor = page.cursor
    }
  }

  it('4 writers and 8 followers in processes of their own agree with the log', {
    timeout: 150_000,
  }, async () => {
    const sessions = await Promise.all(['a', 'a', 'b', 'b'].map((user) => direct.createSession(user, {})))
    const sessionIds = sessions.map((session) => session.sessionId)
    const [one, , three] = sessionIds
    const all = { query: { all: true }, ends: 4 }
    const [a, b] = ['a', 'b'].map((userId) => ({ query: { userId }, ends: 2 }))
    const groups = [
      [a, { query: { sessionId: one }, ends: 1 }, all],
      [b, { query: { sessionId: three }, ends: 1 }, all],
      [all, a],
    ]
    const followers = groups.map((queries): Task => ({ task: 'follow', args: { queries } }))
    const writers = ['w', 'x', 'y', 'z'].map(
      (name): Task => ({ task: 'write', args: { name, sessionIds, count, pauseMs } }),
    )
    const following = crew(proxy.url, 'cut:', followers, 'feed-worker.mjs') as Promise<string[][][]>
    const cutting = setInterval(() => proxy.reset(), CUT_EVERY_MS)
    const acknowledged = ((await crew(proxy.url, 'cut:', writers, 'feed-worker.mjs')) as string[][]).flat()
    clearInterval(cutting)
    for (const sessionId of sessionIds) await direct.appendEvent(sessionId, { type: 'custom:end' })
    const told = await following

    const logs = new Map<string, string[]>()
    for (const sessionId of sessionIds) {
      logs.set(
        sessionId,
        (await logOf(sessionId)).map((event) => event.eventId),
      )
    }
    const everything = new Set([...logs.values()].flat())
    expect(acknowledged).toHaveLength(4 * count)
    expect(acknowledged.filter((id) => !everything.has(id as never))).toEqual([])
    expect(proxy.connections).toBeGreaterThan(100)
    for (const [group, queries] of groups.entries()) {
      for (const [place, asked] of queries.entries()) {
        const ids = told[group]?.[place] ?? []
        const query = (asked as { query: { sessionId?: string; userId?: string } }).query
        const mine = sessions.filter(
          ({ sessionId, userId }) =>
            (query.sessionId ?? sessionId) === sessionId && (query.userId ?? userId) === userId,
        )
        expect(new Set(ids).size, 'nothing comes twice').toBe(ids.length)
        const expected = mine.flatMap(({ sessionId }) => logs.get(sessionId) ?? [])
        expect([...ids].sort(), 'nothing is missing').toEqual([...expected].sort())
        for (const { sessionId } of mine) {
          const log = logs.get(sessionId) ?? []
          const known = new Set(log)
          expect(
            ids.filter((id) => known.has(id)),
            'in order',
          ).toEqual(log)
        }
      }
    }
    console.log(`${everything.size} events, ${proxy.connections} connections`)
  })
})
