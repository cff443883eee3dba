import { type Calls, numberOf } from './calls.js'
import type { Json } from './generated/records.js'
import type {
  LoggedRequest,
  RequestLogEntry,
  RequestLogFollowOptions,
  RequestLogHour,
  RequestLogPage,
  RequestLogPercentiles,
  RequestLogQuery,
  RequestLogRebuilt,
  RequestLogSpan,
} from './request-log-types.js'
import type { CallOptions } from './types.js'
import { asIs } from './values.js'

const RECORD = numberOf('requestLog.record')
const SEARCH = numberOf('requestLog.search')
const HOURLY = numberOf('requestLog.hourly')
const PERCENTILES = numberOf('requestLog.percentiles')
const FOLLOW = numberOf('requestLog.follow')
const REBUILD = numberOf('requestLog.rebuild')

type Written = { at: string }
type Page = { items: readonly Written[]; cursor: string }

const logged = (written: Json): unknown => ({
  ...(written as object),
  at: new Date((written as Written).at),
})

const page = (written: Json): unknown => {
  const { items, cursor } = written as unknown as Page
  return { items: items.map((item) => logged(item as unknown as Json)), cursor }
}

const hours = (written: Json): unknown =>
  (written as unknown as { hour: string }[]).map((one) => ({ ...one, hour: new Date(one.hour) }))

/**
 * Requests that were served: found by what they say, counted by the hour. Records are kept for 24 hours, counts for 48. All
 * of it lies in one partition.
 */
export class RequestLog {
  readonly #calls: Calls

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls
  }

  #ask(operation: number, data: unknown, options: unknown, read: (written: Json) => unknown): Promise<never> {
    return this.#calls.byUser(operation, '', data, options, read, true) as Promise<never>
  }

  /** Logs a request; the record, what it is found by and all counts are one step. One round trip. While the server is away it is kept. */
  record(entry: RequestLogEntry, options?: CallOptions): Promise<LoggedRequest> {
    return this.#ask(RECORD, entry, options, logged)
  }

  /**
   * A page of the requests that fit everything that is asked for. It costs what it shows, and at most what the filter that
   * finds least finds. A walk from cursor to cursor meets each request once.
   */
  search(query: RequestLogQuery = {}, options?: CallOptions): Promise<RequestLogPage> {
    return this.#ask(SEARCH, query, options, page)
  }

  /** Requests and errors of each hour, and with `host` its visitors. One round trip. */
  hourly(span: RequestLogSpan = {}, options?: CallOptions): Promise<RequestLogHour[]> {
    return this.#ask(HOURLY, span, options, hours)
  }

  /** How long requests took in the ten minutes up to `until`, which is now unless given. One round trip. */
  percentiles(span: { readonly until?: Date } = {}, options?: CallOptions): Promise<RequestLogPercentiles> {
    return this.#ask(PERCENTILES, span, options, asIs)
  }

  /**
   * Requests as they are logged, from now on or behind a cursor, until `signal` aborts: then it throws its reason. About
   * 10,000 are kept for those who are behind.
   */
  async *follow(options: RequestLogFollowOptions = {}): AsyncGenerator<LoggedRequest, void, void> {
    const { after, ...rest } = options
    let cursor = after
    for (;;) {
      const next: RequestLogPage = await this.#ask(
        FOLLOW,
        cursor === undefined ? {} : { after: cursor },
        rest,
        page,
      )
      yield* next.items
      cursor = next.cursor ?? undefined
    }
  }

  /** Makes what records are found by agree with the records, while others go on writing. */
  rebuild(options?: CallOptions): Promise<RequestLogRebuilt> {
    return this.#ask(REBUILD, {}, options, asIs)
  }
}
