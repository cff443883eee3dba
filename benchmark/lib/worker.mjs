/**
 * A contender in a process of its own. Obeys the conductor: one message, one answer.
 * Arguments: contender, backend, scenario, place as JSON.
 */
import { CONTENDERS } from '../contenders/index.mjs'
import { around, input, titles } from './fixture.mjs'
import { many as lanes } from './lanes.mjs'
import { sample } from './meter.mjs'
import { consumer, SCENARIOS } from './scenarios.mjs'

/** @typedef {import('./scenarios.mjs').Pool} Pool */
/** @typedef {import('./scenarios.mjs').Operation} Operation */
/** @typedef {{ data: 'read' | 'unread', inFlight: number }} Variant */
/** @typedef {{ first: number, count: number }} Range of operations, counted from the start of the process */
/** @typedef {{ heap: number, rss: number, fullGc: number }} Footprint bytes, bytes, ms */

const [name, backend, scenarioName, place] = process.argv.slice(2)
const contender = only(CONTENDERS.filter((one) => one.name === name && one.backend === backend))
const scenario = only(SCENARIOS.filter((one) => one.name === scenarioName))

/** Enough to fill a pipeline, few enough that no client refuses. */
const LANES = 200
/** A sample has at least so many times the calls in flight, or its first burst would be most of it. */
const WAVES = 20
/** How much longer the next try of a calibration may be. */
const GROWTH = 10
const COLLECTIONS = 5
const FILL_PER_USER = 10

/** @template T @param {T[]} found @returns {T} */
function only([found]) {
  if (found === undefined) throw new Error(`no such contender or scenario: ${process.argv.slice(2)}`)
  return found
}

const open = () => contender.open(JSON.parse(place ?? '{}'))

/** @param {unknown} error */
const fail = (error) =>
  process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })

async function opened() {
  try {
    return await open()
  } catch (error) {
    fail(error)
    throw error
  }
}

let store = await opened()
/** @type {Pool} */
let pool = { ids: [], users: [] }
/** @type {Operation} */
let operation = scenario.operation(store, pool)

/** @type {import('./scenarios.mjs').Many} */
const many = (count, work) => lanes(count, work, LANES)

/** @param {Pool} given */
function adopt(given) {
  pool = given
  operation = scenario.operation(store, pool)
}

/**
 * Users alternate, so that neighbours in the pool belong to different users. Every session has data of its own, or
 * a store that keeps what it is given would keep one object for many.
 * @returns {Promise<Pool>}
 */
async function populate() {
  const names = Array.from({ length: scenario.users }, (_, n) => `user-${n}`)
  const ids = Array.from({ length: scenario.users * scenario.perUser }, () => '')
  await many(ids.length, async (i) => {
    const { sessionId } = await store.createSession(around(names, i), structuredClone(input(i)))
    ids[i] = sessionId
  })
  return { ids, users: names }
}

const title = titles('the neighbour')

async function seed() {
  const made = await populate()
  adopt(scenario.below ? { ...made, ids: await scenario.below(store, made, many) } : made)
  return pool
}

/** Changes the records that the next operations of another process will meet. @param {Range} range */
const rewrite = ({ first, count }) =>
  many(count, (i) => store.updateSession(around(pool.ids, first + i), { title: title() }))

/** An empty store. The conductor empties Redis. */
async function renew() {
  if (backend === 'redis') return
  await store.close()
  store = await open()
  operation = scenario.operation(store, pool)
}

/** @param {Variant & Range} wish */
const measure = ({ data, inFlight, first, count }) =>
  sample(operation, consumer(data), { first, count, inFlight })

/**
 * How many operations take about `seconds`, and where the next one starts; warms up on the way.
 * @param {Variant & { first: number, seconds: number, limit: number }} wish
 * @returns {Promise<Range>}
 */
async function calibrate({ data, inFlight, first, seconds, limit }) {
  for (let count = Math.min(limit, inFlight * 2), at = first; ; ) {
    const taken = (await measure({ data, inFlight, first: at, count })).seconds
    at += count
    const wanted = Math.min(limit, Math.max(inFlight * WAVES, Math.ceil((count * seconds) / taken)))
    if (count === limit || taken >= seconds) return { first: at, count: wanted }
    count = Math.min(limit, count * GROWTH, Math.max(count * 2, wanted))
  }
}

/** What so many sessions occupy in this process. @param {number} count @returns {Promise<Footprint>} */
async function fill(count) {
  const collect = () => {
    const start = performance.now()
    globalThis.gc?.()
    return performance.now() - start
  }
  collect()
  const before = process.memoryUsage()
  const users = count / FILL_PER_USER
  // No id is kept: what a list of the benchmark's own takes is not the store's.
  await many(count, (i) => store.createSession(`user-${i % users}`, structuredClone(input(i))))
  const times = Array.from({ length: COLLECTIONS }, collect).sort((a, b) => a - b)
  const after = process.memoryUsage()
  return {
    heap: (after.heapUsed - before.heapUsed) / count,
    rss: (after.rss - before.rss) / count,
    fullGc: times[Math.floor(COLLECTIONS / 2)] ?? 0,
  }
}

const close = () => store.close()

const commands = { adopt, calibrate, close, fill, measure, renew, rewrite, seed }
/** @typedef {typeof commands} Commands */

process.on(
  'message',
  async (/** @type {{ command: keyof Commands, argument: never }} */ { command, argument }) => {
    try {
      process.send?.({ answer: await commands[command](argument) })
    } catch (error) {
      fail(error)
    }
  },
)
// Nobody outlives the conductor.
process.once('disconnect', () => process.exit())
process.send?.({ answer: 'ready' })
