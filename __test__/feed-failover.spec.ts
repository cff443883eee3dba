// Followers while the server under them changes: a restart, a failover behind sentinels, in a Cluster, and with pub/sub blocked;
// and one that reads slowly.
import { afterEach, describe, expect, it } from 'vitest'
import { eventually, startCluster, startSentinel } from '../scripts/topologies.mjs'
import { type Event, type FeedItem, RedisAdapter, type Subscription } from './support/flowkeep.js'
import { TcpProxy } from './support/proxy.js'
import { rawClient, redisUrl, uniquePrefix } from './support/redis.js'
import { OwnServer } from './support/server.js'
import { until } from './support/until.js'

const open: { close(): Promise<void> }[] = []
const servers: { stop(): Promise<void> }[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((storage) => storage.close()))
  await Promise.all(servers.splice(0).map((server) => server.stop()))
})

function storageAt(url: string, prefix: string): RedisAdapter {
  const storage = new RedisAdapter(url, { prefix, timeoutMs: 20_000 })
  open.push(storage)
  return storage
}

/** Reads a feed to the event of this type, and gives everything that came. */
function readTo(feed: Subscription<FeedItem>, last: string): { seen: FeedItem[]; done: Promise<void> } {
  const seen: FeedItem[] = []
  const read = async () => {
    for await (const item of feed) {
      seen.push(item)
      if (item.type === last) return
    }
  }
  return { seen, done: read() }
}

/** Writes from now on, one event after the other, until it is told to stop: the ids that were acknowledged. */
function writing(storage: RedisAdapter, sessionId: string): { stop(): Promise<string[]>; count(): number } {
  const ids: string[] = []
  let over = false
  const work = (async () => {
    while (!over) {
      const event = await storage.appendEvent(sessionId, { type: 'custom:n' }).catch(() => null)
      if (event) ids.push(event.eventId)
    }
  })()
  const stop = async () => {
    over = true
    await work
    return ids
  }
  return { stop, count: () => ids.length }
}

async function logOf(storage: RedisAdapter, sessionId: string): Promise<Event[]> {
  const log: Event[] = []
  for (let cursor: string | undefined; ; ) {
    const page = await storage.events({ sessionId, limit: 1000, ...(cursor && { cursor }) })
    log.push(...page.items)
    if (page.items.length === 0) return log
    cursor = page.cursor
  }
}

/**
 * Follows while `change` happens to the servers: what is told is the log, whole, in order, once. `paused`: nothing is written
 * meanwhile, since this failover may lose what was acknowledged last, which no feed brings back.
 */
async function followThrough(url: string, change: () => Promise<void>, paused = false): Promise<void> {
  const prefix = uniquePrefix()
  const [writer, reader] = [storageAt(url, prefix), storageAt(url, prefix)]
  const { sessionId, userId } = await writer.createSession('ada', {})
  const feeds = [reader.subscribe({ sessionId }), reader.subscribe({ userId })].map((feed) =>
    readTo(feed, 'custom:end'),
  )
  let load = writing(writer, sessionId)
  await until(() => load.count() > 100, 'events are written', 20_000)
  if (paused) await load.stop()
  await change()
  if (paused) load = writing(writer, sessionId)
  const so = load.count()
  await until(() => load.count() > so + 100, 'events are written again', 30_000)
  await load.stop()
  await writer.appendEvent(sessionId, { type: 'custom:end' })
  await Promise.all(feeds.map(({ done }) => done))
  const log = (await logOf(writer, sessionId)).map((event) => event.eventId)
  for (const { seen } of feeds) {
    const ids = seen.filter((item): item is Event => item.type !== 'gap').map((event) => event.eventId)
    expect(ids).toEqual(log)
  }
}

describe('a feed', () => {
  it('goes on across a restart of the server', { timeout: 120_000 }, async () => {
    const server = await OwnServer.start()
    servers.push({ stop: () => server.dispose() })
    await followThrough(server.url, async () => {
      await server.kill()
      await server.start()
    })
  })

  it('that is read slowly fetches what is read, and misses nothing', { timeout: 60_000 }, async () => {
    const events = 2_000
    const large = 'x'.repeat(20_000)
    const server = await OwnServer.start()
    servers.push({ stop: () => server.dispose() })
    const proxy = await TcpProxy.start(server.port)
    servers.push({ stop: () => proxy.dispose() })
    const prefix = uniquePrefix()
    const [writer, reader] = [storageAt(server.url, prefix), storageAt(proxy.url, prefix)]
    const { sessionId, userId } = await writer.createSession('ada', {})
    const feeds = [reader.subscribe({ sessionId }), reader.subscribe({ userId })]
    for (const feed of feeds) expect((await feed.next()).value).toMatchObject({ type: 'session:created' })
    const before = proxy.brought
    for (let from = 0; from < events; from += 100) {
      const some = Array.from({ length: 100 }, (_, n) => ({ n: from + n, large }))
      await Promise.all(some.map((data) => writer.appendEvent(sessionId, { type: 'custom:n', data })))
    }
    // 40 MB are there for each of the two. Nobody has asked for more than one event.
    expect(await reader.getSession(sessionId)).not.toBeNull()
    expect(proxy.brought - before).toBeLessThan(events * large.length)
    const numbers = Array.from({ length: events }, (_, n) => n)
    for (const feed of feeds) {
      const seen: unknown[] = []
      for await (const item of feed) {
        seen.push((item as Event).data.n)
        if (seen.length === events) break
      }
      expect(seen).toEqual(numbers)
    }
    expect(proxy.brought - before).toBeGreaterThan(2 * events * large.length)
  })

  it('goes on across a failover behind sentinels', { timeout: 120_000 }, async () => {
    const group = await startSentinel()
    servers.push(group)
    await followThrough(
      group.url,
      async () => {
        const before = await group.master()
        const master = rawClient(`redis://127.0.0.1:${before}`)
        await until(
          async () => {
            await master.set('mark', Date.now())
            return Number(await master.call('WAIT', 2, 1000)) === 2
          },
          'the replicas have everything',
          30_000,
        )
        master.disconnect()
        await eventually('it begins', async () => (await group.failover()) === 'OK')
        await eventually('there is another master', async () => (await group.master()) !== before)
      },
      true,
    )
  })

  it('goes on across a failover in a Cluster', { timeout: 120_000 }, async () => {
    const cluster = await startCluster()
    servers.push(cluster)
    await followThrough(cluster.url, async () => {
      for (const replica of await replicas(cluster)) {
        for (let promoted = false; !promoted; ) {
          await cluster.ask(replica, 'CLUSTER', 'FAILOVER')
          const isMaster = async () => (await cluster.masters(replica)).includes(replica)
          promoted = await eventually('it is a master', isMaster, 6000).then(
            () => true,
            () => false,
          )
        }
      }
    })
  })

  it('advances within a second with pub/sub blocked entirely', { timeout: 60_000 }, async () => {
    const admin = rawClient(redisUrl())
    const user = `deaf-${process.pid}`
    try {
      await admin.call('ACL', 'SETUSER', user, 'on', '>secret', 'resetchannels', '~*', '+@all', '-@pubsub')
      const url = redisUrl().replace('redis://', `redis://${user}:secret@`)
      const prefix = uniquePrefix()
      const [writer, reader] = [storageAt(url, prefix), storageAt(url, prefix)]
      const { sessionId, userId } = await writer.createSession('ada', {})
      const feeds = [
        reader.subscribe({ sessionId, after: 'now' }),
        reader.subscribe({ userId, after: 'now' }),
      ]
      await Promise.all(feeds.map((feed) => feed.ready()))
      const waits: number[] = []
      for (let n = 0; n < 5; n++) {
        const from = performance.now()
        const told = feeds.map(async (feed) => {
          const { value } = await feed.next()
          expect(value).toMatchObject({ type: 'custom:n', data: { n } })
          waits.push(performance.now() - from)
        })
        await writer.appendEvent(sessionId, { type: 'custom:n', data: { n } })
        await Promise.all(told)
      }
      // Half a second is what it waits; the best of some tells of the rule, and none of the machine.
      expect(Math.min(...waits)).toBeLessThan(1000)
      expect(waits.toSorted((a, b) => a - b)[Math.floor(waits.length / 2)]).toBeLessThan(1000)
      await Promise.all(feeds.map((feed) => feed.return()))
    } finally {
      await admin.call('ACL', 'DELUSER', user)
      admin.disconnect()
    }
  })
})

/** The nodes that are no masters. */
async function replicas(cluster: Awaited<ReturnType<typeof startCluster>>): Promise<number[]> {
  const masters = await cluster.masters()
  return cluster.nodes.map(({ port }) => port).filter((port) => !masters.includes(port))
}
