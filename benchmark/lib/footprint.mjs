/** What a session occupies: in this process, in redis-server, and what it costs the garbage collector. */
import { CONTENDERS } from '../contenders/index.mjs'
import { Member } from './crew.mjs'

/** @typedef {import('./worker.mjs').Footprint & { contender: string, backend: 'memory' | 'redis', sessions: number, server: number, failure: string | null }} Occupied */

const SESSIONS = 20_000
const SESSIONS_HEAVY = 200_000
/** One client of a family stands for all: they write the same keys. */
const REDIS_LAYOUTS = /^(flowkeep|ioredis 6)$/
const NOTHING = { heap: Number.NaN, rss: Number.NaN, fullGc: Number.NaN, server: Number.NaN }

/**
 * @param {import('./server.mjs').Server | null} server
 * @param {import('./options.mjs').Options} options
 * @returns {Promise<Occupied[]>}
 */
export async function footprint(server, options) {
  const sessions = options.heavy ? SESSIONS_HEAVY : SESSIONS
  /** @type {Occupied[]} */
  const found = []
  for (const contender of CONTENDERS) {
    const { backend, name } = contender
    if (!options.only.test(name) || (backend === 'redis' && !(server && REDIS_LAYOUTS.test(name)))) continue
    await server?.empty()
    const before = (await server?.memory()) ?? 0
    try {
      const member = await Member.start(
        contender,
        `${backend}.create`,
        { url: server?.url ?? '', prefix: 'bench:' },
        [],
      )
      const filled = await member.call('fill', sessions)
      const bytes = ((await server?.memory()) ?? 0) - before
      await member.end()
      found.push({ ...filled, contender: name, backend, sessions, server: bytes / sessions, failure: null })
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error)
      found.push({ ...NOTHING, contender: name, backend, sessions, failure })
    }
  }
  await server?.empty()
  return found
}
