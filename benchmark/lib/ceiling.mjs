/** redis-benchmark on the same server with values of the same size: what no client can pass. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { newSession } from '../contenders/model.mjs'
import { input } from './fixture.mjs'
import { median } from './stats.mjs'

/** @typedef {{ connections: number, pipeline: number, get: number, set: number }} Ceiling operations per second */

/** Requests that take about a second each on a small machine. */
const SHAPES = [
  { connections: 50, pipeline: 64, requests: 1_000_000 },
  { connections: 1, pipeline: 64, requests: 300_000 },
  { connections: 1, pipeline: 16, requests: 100_000 },
  { connections: 1, pipeline: 1, requests: 10_000 },
]
const ROUNDS = 3

/** Size of a stored session as the peers write it. */
export const VALUE_BYTES = JSON.stringify(newSession('user-100', input(0))).length

/**
 * @param {string} url
 * @param {(typeof SHAPES)[number]} shape
 */
async function once(url, { connections, pipeline, requests }) {
  const { hostname, port } = new URL(url)
  const { stdout } = await promisify(execFile)(
    'redis-benchmark',
    [
      ...['-h', hostname, '-p', port, '-c', connections, '-P', pipeline, '-n', requests],
      ...['-d', VALUE_BYTES, '-t', 'set,get', '--csv'],
    ].map(String),
  )
  const rate = (/** @type {string} */ command) =>
    Number(stdout.match(new RegExp(`"${command}","([\\d.]+)"`))?.[1])
  return { get: rate('GET'), set: rate('SET') }
}

/** @param {import('./server.mjs').Server} server @returns {Promise<Ceiling[]>} */
export async function ceiling(server) {
  /** @type {({ shape: (typeof SHAPES)[number] } & Awaited<ReturnType<typeof once>>)[]} */
  const rounds = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const shape of SHAPES) rounds.push({ shape, ...(await once(server.url, shape)) })
  }
  await server.empty()
  return SHAPES.map((shape) => {
    const own = rounds.filter((round) => round.shape === shape)
    const { connections, pipeline } = shape
    return {
      connections,
      pipeline,
      get: median(own.map(({ get }) => get)),
      set: median(own.map(({ set }) => set)),
    }
  })
}
