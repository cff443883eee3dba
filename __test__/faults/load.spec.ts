// How it goes under load: bringing back what was kept while others work, and memory over many calls.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { uniquePrefix } from '../support/redis.js'
import { until } from '../support/until.js'
import { Ledger } from './ledger.js'
import { full, isHealthy, LONG, measured, much, onStage, opened, ownServer, percentile } from './stage.js'

onStage()

it(
  'drain: what was kept is brought at its rate while live calls go on',
  async () => {
    const server = await ownServer()
    const prefix = uniquePrefix()
    const storage = await opened(server.url, prefix)
    const ledger = new Ledger(storage)
    await ledger.open(50)
    const { sessionId } = await storage.createSession('live', {})
    await server.kill()
    await ledger.write(much(190, 20))
    const kept = (await storage.status()).journal?.entries ?? 0
    expect(kept).toBe(much(9_500, 1_000))
    let began = 0
    storage.on('recovering', () => {
      began = performance.now()
    })
    await server.start()
    await until(() => began > 0, 'it is there again', 30_000)
    const times: number[] = []
    while ((await storage.status()).state !== 'healthy') {
      const from = performance.now()
      const live = await storage.updateSession(sessionId, { metadata: { n: times.length } })
      times.push(performance.now() - from)
      expect(live).not.toHaveProperty('pending')
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    const rate = (kept / (performance.now() - began)) * 1_000
    measured('drain', {
      kept,
      'a second': rate,
      live: times.length,
      p50: percentile(times, 50),
      p99: percentile(times, 99),
    })
    await isHealthy(storage)
    await ledger.expectExact(server.url, prefix)
    expect(await storage.conflicts()).toEqual([])
    if (!full) return
    expect(rate).toBeGreaterThan(2_000)
    expect(percentile(times, 99)).toBeLessThan(50)
  },
  LONG,
)

it.each(['done', 'refused'] as const)(
  'memory: over many calls that are %s the process does not grow',
  { timeout: LONG },
  async (task) => {
    const server = await ownServer()
    const script = join(import.meta.dirname, 'load-worker.mjs')
    const child = fork(script, [server.url, uniquePrefix()], {
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const gone = once(child, 'exit')
    const [word] = await once(child, 'message')
    expect(word).toBe('open')
    const count = much(1_000_000, 20_000)
    child.send({ task, count })
    let answer: unknown = (await once(child, 'message'))[0]
    if (answer === 'kill the server') {
      await server.kill()
      answer = (await once(child, 'message'))[0]
    }
    expect((await gone)[0], 'no promise was rejected unheard').toBe(0)
    const { before, after, refused } = answer as { before: number; after: number; refused: number }
    measured(`memory, ${count} calls that are ${task}`, { before, after })
    if (task === 'refused') expect(refused).toBeGreaterThan(count)
    // A short run has not warmed up: there only a leak of much for each call would show.
    expect(after / before).toBeLessThan(much(1.05, 1.5))
  },
)
