// What a session, a chain and a step take, in memory and in Redis, live and archived.
//   node benchmark/bytes.mjs            memory
//   BENCH_REDIS_URL=redis://... node benchmark/bytes.mjs   memory and that server, which must be empty and idle
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'

const { MemoryStorage, RedisAdapter } = createRequire(import.meta.url)('../dist/index.js')

const SESSIONS = 2_000
/** Steps of each session's one chain. */
const STEPS = 10
const IN_FLIGHT = 200
/** The feed of the one user is full from the beginning, so that it does not count. */
const FILLING = 12_000
const NEVER = 1_000_000_000
const STAGES = ['nothing', 'sessions', 'chains', 'steps', 'live', 'archived']

/** @param {number} count @param {(n: number) => Promise<unknown>} work */
async function many(count, work) {
  for (let from = 0; from < count; from += IN_FLIGHT) {
    await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, count - from) }, (_, i) => work(from + i)))
  }
}

/** Does all that belongs to a stage. @param {any} storage @param {string} stage */
async function plant(storage, stage) {
  const depth = STAGES.indexOf(stage)
  const scratch = await storage.createSession('one', {})
  await many(FILLING, () => storage.appendEvent(scratch.sessionId, { type: 'custom:fill' }))
  /** @type {any[]} */ const [sessions, chains, steps] = [[], [], []]
  const measured = async () => usage(storage)
  const before = await measured()
  if (depth >= 1) {
    await many(SESSIONS, async (n) => {
      sessions[n] = await storage.createSession('one', { title: `Session ${n}`, tags: ['bench'] })
    })
  }
  if (depth >= 2) {
    await many(SESSIONS, async (n) => {
      chains[n] = await storage.createChain(sessions[n].sessionId, { title: `Chain ${n}`, source: 'flow' })
    })
  }
  if (depth >= 3) {
    for (let step = 0; step < STEPS; step++) {
      await many(SESSIONS, async (n) => {
        steps[n * STEPS + step] = await storage.createStep(chains[n].chainId, {
          action: `Step ${step} of chain ${n}`,
          inputs: { file: `src/part-${step}.ts`, lines: [step, n], strict: true },
        })
      })
    }
  }
  if (depth >= 4) {
    for (const update of [
      { status: 'in_progress' },
      { status: 'completed', result: { ok: true, warnings: 0, ms: 12 } },
    ]) {
      for (let step = 0; step < STEPS; step++) {
        await many(SESSIONS, (n) => storage.updateStep(steps[n * STEPS + step].stepId, update))
      }
    }
  }
  return (await measured()) - before
}

/** Bytes that the storage's data take now. @param {any} storage */
async function usage(storage) {
  if (storage instanceof MemoryStorage) {
    globalThis.gc?.()
    return process.memoryUsage().rss
  }
  const info = await storage.kv.info()
  const text = typeof info === 'string' ? info : JSON.stringify(info)
  return Number(/used_memory\W+(\d+)/.exec(text)?.[1])
}

const [kind, stage] = process.argv.slice(2)
if (kind && stage) {
  const options = { maxEvents: 1, sweepSeconds: 0, archiveAfterSeconds: stage === 'archived' ? 0 : NEVER }
  const url = process.env.BENCH_REDIS_URL ?? ''
  const storage =
    kind === 'memory'
      ? new MemoryStorage(options)
      : new RedisAdapter(url, { ...options, prefix: `b${stage}:` })
  console.log(JSON.stringify(await plant(storage, stage)))
  if (kind === 'redis') await storage.eraseUser('one', { timeoutMs: 60_000 })
  await storage.close()
} else {
  console.log('| storage | session | chain | step | chain of 10 done steps, live | the same, archived |')
  console.log('| --- | --- | --- | --- | --- | --- |')
  for (const kind of process.env.BENCH_REDIS_URL ? ['memory', 'redis'] : ['memory']) {
    const [nothing, sessions, chains, steps, live, archived] = STAGES.map((stage) => {
      const run = spawnSync(process.execPath, ['--expose-gc', import.meta.filename, kind, stage], {
        encoding: 'utf8',
        maxBuffer: 1 << 24,
      })
      if (run.status !== 0) throw new Error(run.stderr)
      return Number(run.stdout)
    })
    const each = (
      /** @type {number | undefined} */ more,
      /** @type {number | undefined} */ less,
      count = SESSIONS,
    ) => Math.round(((more ?? 0) - (less ?? 0)) / count).toLocaleString('en')
    console.log(
      `| ${kind} | ${each(sessions, nothing)} | ${each(chains, sessions)} | ${each(steps, chains, SESSIONS * STEPS)} | ${each(live, sessions)} | ${each(archived, sessions)} |`,
    )
  }
}
