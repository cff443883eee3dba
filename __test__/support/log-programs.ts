// Random programs over the request log.
import type { RequestLogQuery } from './flowkeep.js'
import { type Program, program } from './random.js'

const MINUTE_MS = 60_000
/** Some hours, all of them over, in which the requests of programs were made. */
const LOG_SPAN_MS = 200 * MINUTE_MS
const LOG_BEGAN = Date.now() - LOG_SPAN_MS - MINUTE_MS

/** Programs share one log: each has a host of its own, and asks for nothing else. */
export function requestLogs(seed: number, name: string): Program {
  return (storage) => {
    const { requestLog: log } = storage
    const host = `${name}.example`
    let [made, latest, cursor] = [0, {} as RequestLogQuery, null as string | null]
    const page = async (query: RequestLogQuery) => {
      const found = await log.search({ ...query, host })
      latest = query
      cursor = found.cursor
      // What a cursor looks like is no promise; that there is one is.
      return [found.items, found.cursor !== null]
    }
    return program(seed, (chance) => {
      const ip = chance.of(['10.0.0.1', '10.0.0.2', '::1'])
      const [method, status] = [chance.of(['GET', 'post']), chance.of([200, 399, 400, 503])]
      const path = chance.of(['/', '/a', '/a/7', '/a/8/b', '/a/7?secret=1', '/b//c', '/ü'])
      const entry = { ip, host, method, path, status, durationMs: chance.of([0, 12.5, 1_000, 1_000.5]) }
      const user = chance.of(['ada', '{ada}', 'a:b'])
      const order = chance.of(['asc', 'desc'] as const)
      const paged = { order, limit: chance.below(3) + 1 }
      // No two at the same time, so that their order is known; not in the order of time.
      const record = (more: object) => () =>
        log.record({ ...entry, ...more, at: new Date(LOG_BEGAN + ((made++ * 37) % 199) * MINUTE_MS) })
      const since = new Date(LOG_BEGAN + chance.below(200) * MINUTE_MS)
      return chance.of<() => Promise<unknown>>([
        record({}),
        record({ user }),
        record({ user, details: { n: [made], text: 'ü' } }),
        record({ status: 99 }),
        () => page(paged),
        () => page({ ...latest, ...(cursor === null ? {} : { cursor }) }),
        () => page({ ip, ...paged }),
        () => page({ user, method }),
        () => page({ status, ...paged }),
        () => page({ errors: true, ...paged }),
        () => page({ slow: true, order }),
        () => page({ path: chance.of(['/a/*', '/a/**', '/a/:id/b', '/*', '/', '*/7']), order }),
        () => page({ since, order }),
        () => page({ until: since, errors: true }),
        () => page({ cursor: 'none' }),
        () =>
          log
            .hourly({ host, since: new Date(LOG_BEGAN), until: new Date(LOG_BEGAN + LOG_SPAN_MS) })
            .then((hours) => hours.map(({ visitors }) => visitors)),
      ])
    })(storage)
  }
}
