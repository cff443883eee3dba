/** One sample: so many operations, so many in flight, what they cost. */
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'

/** @typedef {import('./scenarios.mjs').Operation} Operation */

/**
 * @typedef {object} Sample
 * @property {number} operations
 * @property {number} seconds
 * @property {number} jsCpu µs of the JS thread per operation
 * @property {number} processCpu µs of all threads of the process per operation
 * @property {number} utilisation of the event loop, 0 to 1
 * @property {number} lagP99 of the event loop in ms behind the burst that a sample begins with, NaN when the loop never came to its timers
 */

const LAG_RESOLUTION_MS = 1

/** CPU time of the JS thread in µs. The main thread's number is the process id; Linux counts it in nanoseconds. */
function threadCpu() {
  if ('threadCpuUsage' in process) {
    const { user, system } = /** @type {() => NodeJS.CpuUsage} */ (process.threadCpuUsage)()
    return user + system
  }
  if (process.platform !== 'linux') return processCpu()
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ', 1)[0]) / 1_000
}

function processCpu() {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** What the consumers summed up: kept where the compiler must assume that somebody looks. */
export const sink = { sum: 0 }

/**
 * @param {Operation} operation
 * @param {(answer: Awaited<ReturnType<Operation>>) => number} consume
 * @param {{ first: number, count: number, inFlight: number }} extent
 * @param {() => void} goesOn called when the calls that a sample begins with, all in one turn of the loop, are made
 */
async function drive(operation, consume, { first, count, inFlight }, goesOn) {
  const end = first + count
  const burst = first + inFlight
  let next = first
  let sum = 0
  const lane = async () => {
    while (next < end) {
      if (next === burst) goesOn()
      sum += consume(await operation(next++))
    }
  }
  if (inFlight === 1) await lane()
  else await Promise.all(Array.from({ length: Math.min(inFlight, count) }, lane))
  sink.sum += sum
}

/**
 * Closed loop: `inFlight` lanes, each with one call outstanding.
 * @param {Operation} operation
 * @param {(answer: Awaited<ReturnType<Operation>>) => number} consume
 * @param {{ first: number, count: number, inFlight: number }} extent
 * @returns {Promise<Sample>}
 */
export async function sample(operation, consume, extent) {
  globalThis.gc?.()
  const lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS })
  const loop = performance.eventLoopUtilization()
  const js = threadCpu()
  const all = processCpu()
  const start = performance.now()
  await drive(operation, consume, extent, () => lag.enable())
  const seconds = (performance.now() - start) / 1_000
  const jsCpu = (threadCpu() - js) / extent.count
  const processTotal = (processCpu() - all) / extent.count
  const { utilization } = performance.eventLoopUtilization(loop)
  lag.disable()
  return {
    operations: extent.count,
    seconds,
    jsCpu,
    processCpu: processTotal,
    utilisation: utilization,
    lagP99: lag.count > 0 ? lag.percentile(99) / 1e6 : Number.NaN,
  }
}
