/**
 * Whether an operation costs more when there is more of everything: sessions in a storage, steps in a chain.
 *   node benchmark/growth.mjs                                 in memory
 *   node benchmark/growth.mjs redis://localhost:7000          on an empty redis-server of its own
 *   node benchmark/growth.mjs redis://localhost:7000 100000   up to so many sessions, 1,000,000 by default
 */
import { openStorage } from '../dist/index.js'
import { many } from './lib/lanes.mjs'
import { Server } from './lib/server.mjs'
import { median } from './lib/stats.mjs'

/** @typedef {import('../dist/index.js').IStorage} IStorage */

const [url, most = '1000000'] = process.argv.slice(2)
const SESSIONS = [1e3, 1e4, 1e5, 1e6].filter((count) => count <= Number(most))
const STEPS = [1, 10, 100, 1_000, 10_000]
/** A user has so many. */
const PER_USER = 20
const LANES = 100
/** Calls of a sample, and samples of which the median counts. */
const CALLS = 10_000
const SAMPLES = 7

const data = { title: 'a session of a user', tags: ['bench'], metadata: { page: '/runs', n: 1 } }

/** @param {(n: number) => Promise<unknown>} work @param {number} [calls] median of µs for each call */
async function cost(work, calls = CALLS) {
  const times = []
  for (let sample = 0; sample <= SAMPLES; sample++) {
    const from = performance.now()
    await many(calls, (n) => work(sample * calls + n), LANES)
    times.push(((performance.now() - from) * 1_000) / calls)
  }
  // The first one warms up.
  return median(times.slice(1)).toFixed(1)
}

/** @template T @param {T[]} list @returns {T} */
const any = (list) => /** @type {T} */ (list[Math.floor(Math.random() * list.length)])

/** @param {IStorage} storage */
async function sessions(storage) {
  console.log('| sessions | getSession | updateSession | listSessions of 20 | createSession |')
  console.log('| --: | --: | --: | --: | --: |')
  /** @type {string[]} */
  const ids = []
  const create = async () => {
    const n = ids.push('') - 1
    ids[n] = (await storage.createSession(`user ${Math.floor(n / PER_USER)}`, data)).sessionId
  }
  for (const count of SESSIONS) {
    await many(count - ids.length, create, LANES)
    // Those that are created while it is measured are behind these.
    const known = ids.slice(0, count)
    const users = Math.floor(count / PER_USER)
    const user = () => `user ${Math.floor(Math.random() * users)}`
    const cells = [
      await cost(() => storage.getSession(any(known))),
      await cost((n) => storage.updateSession(any(known), { title: `title ${n}` })),
      await cost(() => storage.listSessions(user(), { limit: PER_USER }), CALLS / 10),
      await cost(create),
    ]
    console.log(`| ${count.toLocaleString('en')} | ${cells.join(' | ')} |`)
  }
}

/** @param {IStorage} storage */
async function steps(storage) {
  console.log('| steps in the chain | getStep | updateStep | createStep |')
  console.log('| --: | --: | --: | --: |')
  for (const count of STEPS) {
    const { sessionId } = await storage.createSession('a user', data)
    const { chainId } = await storage.createChain(sessionId, { title: 'a chain of steps' })
    /** @type {string[]} */
    const ids = []
    const create = async () => {
      ids.push(
        (await storage.createStep(chainId, { action: 'cargo build', inputs: { release: true } })).stepId,
      )
    }
    await many(count, create, LANES)
    const known = ids.slice(0, count)
    const cells = [
      await cost(() => storage.getStep(any(known)), CALLS / 10),
      await cost((n) => storage.updateStep(any(known), { inputs: { n } }), CALLS / 10),
      // Few, or it would not be a chain of so many any more.
      await cost(create, Math.max(10, count / 100)),
    ]
    console.log(`| ${count.toLocaleString('en')} | ${cells.join(' | ')} |`)
  }
}

const options = { timeoutMs: 60_000, sweepSeconds: 0 }
const server = url === undefined ? undefined : await Server.open(url)
const storage = await (url === undefined
  ? openStorage({ backend: 'memory', ...options })
  : openStorage({ backend: 'redis', url, ...options }))
await sessions(storage)
console.log()
await steps(storage)
await server?.empty()
await server?.close()
await storage.close()
