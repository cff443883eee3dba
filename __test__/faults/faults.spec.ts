import { expect, it } from 'vitest'
import type { StorageError } from '../support/flowkeep.js'
import { rawClient, uniquePrefix } from '../support/redis.js'
import { rejection } from '../support/refusal.js'
import { until } from '../support/until.js'
import { Ledger } from './ledger.js'
import {
  isHealthy,
  LONG,
  measured,
  much,
  onStage,
  opened,
  ownServer,
  pause,
  percentile,
  proxied,
} from './stage.js'

onStage()

/** What was certainly not done is done again, as a caller would. */
async function again<T>(act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act()
    } catch (error) {
      if ((error as StorageError).outcome !== 'not-applied') throw error
      await pause(20)
    }
  }
}

it(
  'crash: killed and restarted under writes, nothing is lost and nothing is there twice',
  async () => {
    const server = await ownServer()
    const prefix = uniquePrefix()
    const storage = await opened(server.url, prefix)
    const ledger = new Ledger(storage)
    await ledger.open(10)
    const writing = ledger.write(much(1_000, 200), 1)
    for (let crash = 0; crash < much(20, 3); crash++) {
      await pause(much(250, 60))
      await server.kill()
      await pause(50)
      await server.start()
    }
    await writing
    await isHealthy(storage)
    await ledger.expectExact(server.url, prefix)
    expect(ledger.accepted).toBe(much(10_000, 2_000))
    ledger.expectSettledInTime()
  },
  LONG,
)

// Pushes, increments and additions to streams: see `counted.spec.ts`.
it(
  'lost answers: every effect is there exactly once',
  async () => {
    const server = await ownServer()
    const proxy = await proxied(server, 7)
    const prefix = uniquePrefix()
    const storage = await opened(proxy.url, prefix)
    const ledger = new Ledger(storage)
    await ledger.open(5)
    const { sessionId } = await storage.createSession('ann', {})
    proxy.trouble = { loseReplyIn: 20 }
    await ledger.write(much(1_000, 60))
    const chains = new Set<string>()
    for (let n = 1; n <= much(1_000, 60); n++) {
      const chain = await again(() => storage.createChain(sessionId, { title: `${n}`, metadata: { n } }))
      chains.add(chain.chainId)
      const step = await again(() => storage.createStep(chain.chainId, { action: 'act' }))
      await again(() => storage.updateStep(step.stepId, { status: 'in_progress' }))
      await again(() => storage.updateSession(sessionId, { metadata: { n } }))
    }
    // While the breaker is open nothing is sent, so nothing is lost: it goes on until enough was.
    while (proxy.lost <= much(100, 5)) await ledger.write(much(50, 5), 5)
    expect(proxy.lost).toBeGreaterThan(much(100, 5))
    proxy.trouble = {}
    await isHealthy(storage)
    await ledger.expectExact(server.url, prefix)
    const other = await opened(server.url, prefix)
    const stored = await other.listChains(sessionId)
    expect(stored.map(({ title }) => Number(title))).toEqual(
      Array.from({ length: much(1_000, 60) }, (_, n) => n + 1),
    )
    expect(new Set(stored.map(({ chainId }) => chainId as string))).toEqual(chains)
    expect(stored.every(({ stepCounts }) => stepCounts.total === 1 && stepCounts.inProgress === 1)).toBe(true)
    const session = await other.getSession(sessionId)
    expect(session?.version).toBe(1 + much(1_000, 60))
    expect(await storage.conflicts()).toEqual([])
  },
  LONG,
)

it(
  'freeze: a stopped server holds no promise longer than its deadline, and does nothing twice',
  async () => {
    const server = await ownServer()
    const prefix = uniquePrefix()
    for (const ms of much([200, 2_000, 10_000], [200, 1_500])) {
      const storage = await opened(server.url, `${prefix}${ms}:`)
      const ledger = new Ledger(storage, 1_000)
      await ledger.open(10)
      const writing = ledger.write(Number.POSITIVE_INFINITY, 2)
      await pause(100)
      server.freeze()
      await pause(ms)
      server.thaw()
      await pause(300)
      ledger.stop()
      await writing
      await isHealthy(storage)
      ledger.expectSettledInTime()
      await ledger.expectExact(server.url, `${prefix}${ms}:`)
    }
  },
  LONG,
)

it(
  'connections killed again and again: nothing lost, nothing twice, no answer to the wrong caller',
  async () => {
    const server = await ownServer()
    const prefix = uniquePrefix()
    const storage = await opened(server.url, prefix)
    const ledger = new Ledger(storage)
    await ledger.open(10)
    const ids = ledger.books.map(({ sessionId }) => sessionId)
    const client = rawClient(server.url)
    const writing = ledger.write(Number.POSITIVE_INFINITY, 1)
    let reading = true
    const reads = (async () => {
      while (reading) {
        const got = await Promise.all(ids.map((id) => storage.getSession(id).catch(() => undefined)))
        got.forEach((session, at) => {
          expect(session).not.toBeNull()
          if (session) expect(session.sessionId).toBe(ids[at])
        })
        await pause(1)
      }
    })()
    for (let kill = 0; kill < much(600, 20); kill++) {
      await pause(50)
      await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    }
    reading = false
    ledger.stop()
    await Promise.all([writing, reads])
    client.disconnect()
    await isHealthy(storage)
    await ledger.expectExact(server.url, prefix)
    expect(ledger.accepted).toBeGreaterThan(100)
  },
  LONG,
)

it(
  'away: writes are accepted, reads are never falsely empty, and all of it arrives once and in order',
  async () => {
    const server = await ownServer()
    const prefix = uniquePrefix()
    const storage = await opened(server.url, prefix)
    const ledger = new Ledger(storage)
    await ledger.open(10)
    await server.kill()
    const from = Date.now()
    await ledger.write(much(500, 100))
    const before = ledger.accepted
    expect(before).toBe(much(5_000, 1_000))
    let reads = 0
    for (let round = 0; round < much(500, 50); round++) {
      for (const { sessionId } of ledger.books) {
        expect((await storage.getSession(sessionId))?.sessionId).toBe(sessionId)
        await expect(storage.listSessions('nobody')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
        reads += 2
      }
    }
    expect(reads).toBe(much(10_000, 1_000))
    await pause(Math.max(0, from + much(30_000, 500) - Date.now()))
    await server.start()
    const back = performance.now()
    await isHealthy(storage)
    const seconds = (performance.now() - back) / 1_000
    // The way back includes noticing that the server is there; `load.spec.ts` looks at the rate itself.
    measured('away', { kept: before, seconds })
    await ledger.expectExact(server.url, prefix)
    expect(await storage.conflicts()).toEqual([])
  },
  LONG,
)

it(
  'two instances cut off: what is applied and what is a conflict make up what was accepted',
  async () => {
    const server = await ownServer()
    const prefix = uniquePrefix()
    const [one, two] = [await opened(server.url, prefix), await opened(server.url, prefix)]
    const ids: string[] = []
    for (let at = 0; at < 10; at++) ids.push((await one.createSession('ann', {})).sessionId)
    for (const id of ids) await two.getSession(id)
    await server.kill()
    let accepted = 0
    for (let n = 0; n < much(50, 10); n++) {
      for (const id of ids) {
        for (const storage of [one, two]) {
          expect(
            await storage.updateSession(id, { metadata: { n, by: storage === one ? 1 : 2 } }),
          ).toHaveProperty('version', n + 2)
          accepted++
        }
      }
    }
    await server.start()
    await Promise.all([isHealthy(one), isHealthy(two)])
    const raw = await opened(server.url, prefix)
    const versions = await Promise.all(ids.map(async (id) => (await raw.getSession(id))?.version ?? 0))
    const applied = versions.reduce((sum, version) => sum + version - 1, 0)
    const conflicts = ((await one.status()).conflicts ?? 0) + ((await two.status()).conflicts ?? 0)
    expect(applied + conflicts).toBe(accepted)
    expect((await raw.conflicts()).length).toBe(Math.min(conflicts, 1_000))
  },
  LONG,
)

it(
  'flapping: up and down all the time, nothing is lost and it comes to rest',
  async () => {
    const server = await ownServer()
    const proxy = await proxied(server, 3)
    const prefix = uniquePrefix()
    const storage = await opened(proxy.url, prefix)
    const ledger = new Ledger(storage)
    await ledger.open(5)
    const writing = ledger.write(Number.POSITIVE_INFINITY, 5)
    for (let flap = 0; flap < much(100, 6); flap++) {
      proxy.trouble = { refuse: true }
      proxy.reset()
      await pause(300)
      proxy.trouble = {}
      await pause(300)
    }
    ledger.stop()
    await writing
    await isHealthy(storage)
    await ledger.expectExact(server.url, prefix)
    ledger.expectSettledInTime()
  },
  LONG,
)

it('a full server refuses writes and answers reads; scripts that are gone and pauses are not noticed', async () => {
  const server = await ownServer()
  const storage = await opened(server.url, uniquePrefix())
  const { sessionId } = await storage.createSession('ann', { title: 'here' })
  const client = rawClient(server.url)
  await client.config('SET', 'maxmemory', '1')
  const error = (await rejection(storage.updateSession(sessionId, { title: 'new' }))) as StorageError
  expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE', outcome: 'not-applied' })
  const read = await storage.getSession(sessionId)
  expect(read).toMatchObject({ title: 'here' })
  expect(read).not.toHaveProperty('stale')
  await client.config('SET', 'maxmemory', '0')
  await client.call('SCRIPT', 'FLUSH')
  expect(await storage.updateSession(sessionId, { title: 'new' })).toMatchObject({ title: 'new', version: 2 })
  await client.call('CLIENT', 'PAUSE', '300')
  expect(await storage.updateSession(sessionId, { title: 'newer' })).toMatchObject({ version: 3 })
  expect((await storage.status()).state).toBe('healthy')
  client.disconnect()
})

it(
  'recovery: the first success comes soon after the server answers again',
  async () => {
    const server = await ownServer()
    const storage = await opened(server.url, uniquePrefix(), { onUnavailable: 'reject' })
    const { sessionId } = await storage.createSession('ann', {})
    const times: number[] = []
    for (let restart = 0; restart < much(50, 4); restart++) {
      await server.kill()
      await until(async () => {
        await storage.getSession(sessionId, { timeoutMs: 100 }).catch(() => undefined)
        return (await storage.status()).state === 'degraded'
      }, 'it is noticed')
      // Comes back when the server answers a PING.
      await server.start()
      const from = performance.now()
      await until(async () => storage.getSession(sessionId).catch(() => undefined), 'it answers again')
      times.push(performance.now() - from)
    }
    measured('recovery', { p50: percentile(times, 50), p99: percentile(times, 99) })
    expect(percentile(times, 99)).toBeLessThan(much(1_000, 10_000))
  },
  LONG,
)

it('close: with the server down and a hundred calls under way it takes no second', async () => {
  const server = await ownServer()
  const storage = await opened(server.url, uniquePrefix(), { onUnavailable: 'reject' })
  const { sessionId } = await storage.createSession('ann', {})
  server.freeze()
  const calls = Array.from({ length: 100 }, () => rejection(storage.getSession(sessionId)))
  const from = performance.now()
  await storage.close()
  expect(performance.now() - from).toBeLessThan(much(1_000, 10_000))
  for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: 'STORAGE_CLOSED' })
  server.thaw()
})
