/**
 * What a protected call costs, closed: flowkeep's breakers in each store beside opossum and cockatiel, in one run.
 *   node benchmark/breakers.mjs                       memory and SQLite
 *   BENCH_REDIS_URL=redis://... node benchmark/breakers.mjs   and that server
 *   DATABASE_URL=postgres://...                       and that database
 * `npm run bench` installs the peers. Contenders take turns within a round; who begins moves on from round to round.
 */
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConsecutiveBreaker, circuitBreaker, handleAll } from 'cockatiel'
import CircuitBreaker from 'opossum'
import { machine } from './lib/machine.mjs'
import { median, spread } from './lib/stats.mjs'

const { openBreakers } = createRequire(import.meta.url)('../dist/index.js')

/** Rounds, and calls of one contender in a round. */
const ROUNDS = Number(process.env.BENCH_ROUNDS || 15)
const CALLS = 10_000
/** Calls at the same time in the rows that have many. */
const AT_ONCE = 50
/** The table of the report whose numbers are measured against: calls a second, 10,000 calls. */
const REPORTED = { array: 20_000, cache: 1_250, database: 312 }

const answer = Promise.resolve('up')
const upstream = () => answer

/** @typedef {{ name: string, call: () => Promise<unknown>, close?: () => Promise<void> | void }} Contender */

/** @returns {Promise<Contender[]>} */
async function contenders() {
  const file = join(tmpdir(), `flowkeep-bench-${process.pid}.db`)
  const sqlite = `sqlite://${file}?mode=rwc`
  /** @type {Record<string, object>} */
  const stores = { memory: { driver: 'memory' }, SQLite: { driver: 'sql', url: sqlite } }
  stores['memory, audited in SQLite'] = { driver: 'memory', audit: 'SQLite' }
  const { BENCH_REDIS_URL: redis, DATABASE_URL: database } = process.env
  const prefix = `bench-${process.pid}:`
  if (redis) {
    stores.Redis = { driver: 'redis', url: redis, prefix }
    stores['Redis, audited in SQLite'] = { driver: 'redis', url: redis, prefix, audit: 'SQLite' }
  }
  if (database) stores[new URL(database).protocol.slice(0, -1)] = { driver: 'sql', url: database }
  const opened = openBreakers({ stores, default: 'memory' })
  const ours = Object.keys(stores).map((name) => {
    const breaker = opened.store(name).get('upstream', { failureThreshold: 5 })
    return { name: `flowkeep, ${name}`, call: () => breaker.call(upstream) }
  })
  const opossum = new CircuitBreaker(upstream, { timeout: false, errorThresholdPercentage: 50 })
  const policy = circuitBreaker(handleAll, { halfOpenAfter: 60_000, breaker: new ConsecutiveBreaker(5) })
  return [
    { name: 'no breaker', call: upstream },
    { name: 'cockatiel', call: () => policy.execute(upstream) },
    { name: 'opossum', call: () => opossum.fire() },
    ...ours,
    {
      name: '',
      call: upstream,
      async close() {
        opossum.shutdown()
        await opened.close()
        for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true })
      },
    },
  ]
}

/** Microseconds a call, one after the other. @param {Contender} contender */
async function inTurn({ call }) {
  const from = performance.now()
  for (let n = 0; n < CALLS; n++) await call()
  return ((performance.now() - from) / CALLS) * 1_000
}

/** The same with many at a time. @param {Contender} contender */
async function together({ call }) {
  const from = performance.now()
  for (let n = 0; n < CALLS; n += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, call))
  return ((performance.now() - from) / CALLS) * 1_000
}

const all = await contenders()
const measured = all.filter(({ name }) => name !== '')
/** @type {Map<string, { turn: number[], many: number[] }>} */
const samples = new Map(measured.map(({ name }) => [name, { turn: [], many: [] }]))
for (let round = -2; round < ROUNDS; round++) {
  for (let place = 0; place < measured.length; place++) {
    const contender = /** @type {Contender} */ (measured[(place + round + 2) % measured.length])
    // What the one before left to do is done first; and a shared breaker is in use again.
    await sleep(20)
    await contender.call()
    const [turn, many] = [await inTurn(contender), await together(contender)]
    if (round < 0) continue
    samples.get(contender.name)?.turn.push(turn)
    samples.get(contender.name)?.many.push(many)
  }
}
for (const { close } of all) await close?.()

const { date, cpu, cores, node, peers } = machine(null)
console.log(
  `${date}, ${cpu}, ${cores} cores, Node ${node}, opossum ${peers.opossum}, cockatiel ${peers.cockatiel};`,
)
console.log(`medians of ${ROUNDS} rounds of ${CALLS.toLocaleString('en')} calls.\n`)
console.log('| a protected call, closed | µs, in turn | µs, 50 at once | calls/s, in turn |')
console.log('| --- | --: | --: | --: |')
for (const [name, { turn, many }] of samples) {
  const [a, b] = [turn, many].map(
    (values) => `${median(values).toFixed(2)} ±${Math.round(spread(values) * 100)} %`,
  )
  console.log(`| ${name} | ${a} | ${b} | ${Math.round(1e6 / median(turn)).toLocaleString('en')} |`)
}
console.log('\n| reported elsewhere, 10,000 calls | calls/s |\n| --- | --: |')
for (const [name, rate] of Object.entries(REPORTED)) console.log(`| ${name} | ${rate.toLocaleString('en')} |`)
