// Writes that do harm when they are done twice: pushes, increments, additions to streams. Each has one effect.
import { Cluster } from 'ioredis'
import { expect, it } from 'vitest'
import { startCluster } from '../../scripts/topologies.mjs'
import { rawClient, uniquePrefix } from '../support/redis.js'
import { Counted, raw } from './counted.js'
import { ends, isHealthy, LONG, measured, much, onStage, opened, ownServer, pause, proxied } from './stage.js'

onStage()

it(
  'lost answers: pushes, increments and additions are done once',
  async () => {
    const server = await ownServer()
    const proxy = await proxied(server, 5)
    const prefix = uniquePrefix()
    const storage = await opened(proxy.url, prefix)
    const counted = new Counted(storage, 1)
    proxy.trouble = { loseReplyIn: 20 }
    await counted.write(much(2_500, 150))
    expect(proxy.lost).toBeGreaterThan(much(50, 3))
    proxy.trouble = {}
    await isHealthy(storage)
    expect(await storage.conflicts()).toEqual([])
    await raw(server.url, (client) => counted.expectExact(client, prefix))
    measured('lost answers, counted', { accepted: counted.accepted, unknown: counted.unknown })
    expect(counted.accepted).toBeGreaterThan(much(6_000, 300))
  },
  LONG,
)

it(
  'connections killed again and again: pushes, increments and additions are done once',
  async () => {
    const server = await ownServer()
    const prefix = uniquePrefix()
    const storage = await opened(server.url, prefix)
    const counted = new Counted(storage)
    const client = rawClient(server.url)
    const writing = counted.write(Number.POSITIVE_INFINITY)
    for (let kill = 0; kill < much(600, 20); kill++) {
      await pause(50)
      await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    }
    counted.stop()
    await writing
    client.disconnect()
    await isHealthy(storage)
    expect(await storage.conflicts()).toEqual([])
    await raw(server.url, (reader) => counted.expectExact(reader, prefix))
    measured('connections killed, counted', { accepted: counted.accepted, unknown: counted.unknown })
    expect(counted.accepted).toBeGreaterThan(100)
  },
  LONG,
)

it(
  'connections killed in a Cluster: an answer is kept in the slot of what was changed',
  async () => {
    const servers = await startCluster({ replicas: 0 })
    ends.push(() => servers.stop())
    const prefix = uniquePrefix()
    const storage = await opened(servers.url, prefix)
    const counted = new Counted(storage)
    const ports = await servers.masters()
    const clients = ports.map((port) => rawClient(`redis://127.0.0.1:${port}`))
    ends.push(() => clients.forEach((client) => void client.disconnect()))
    const writing = counted.write(Number.POSITIVE_INFINITY)
    for (let kill = 0; kill < much(200, 10); kill++) {
      await pause(50)
      await Promise.all(
        clients.map((client) => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')),
      )
    }
    counted.stop()
    await writing
    await isHealthy(storage)
    expect(await storage.conflicts()).toEqual([])
    // Names with braces of any kind have slots of their own kind, too.
    for (const key of ['{a}b', 'a{}b', 'a}b{', 'a{b', 'a:b', '{', 'ü{ü}']) {
      expect([key, await storage.kv.increment(key), await storage.kv.increment(key)]).toEqual([key, 1, 2])
    }
    const cluster = new Cluster(ports.map((port) => ({ host: '127.0.0.1', port })))
    ends.push(() => cluster.disconnect())
    await counted.expectExact(cluster, prefix)
    expect(counted.accepted).toBeGreaterThan(50)
  },
  LONG,
)
