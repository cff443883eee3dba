import type { JsonObject } from './generated/records.js'
import type { CallOptions } from './types.js'

/** A request that is to be logged. */
export interface RequestLogEntry {
  readonly ip: string
  /** Letters count as small ones. */
  readonly host: string
  /** Who asked, if that is known. */
  readonly user?: string
  readonly method: string
  /** What stands behind a `?` is not stored. */
  readonly path: string
  /** 100 to 999; from 400 on it is an error. */
  readonly status: number
  /** How long it took, in ms; more than 1,000 is slow. */
  readonly durationMs: number
  /** When it happened: now unless given, within the last 24 hours. */
  readonly at?: Date
  /** Whatever else there is to say. */
  readonly details?: JsonObject
}

/** A request that was logged. */
export interface LoggedRequest extends RequestLogEntry {
  /** Ids are ordered by time. */
  readonly id: string
  readonly at: Date
  /** It was logged while the server was away, and is brought there later. */
  readonly pending?: true
}

/** Which requests are looked for: those that fit all that is said. */
export interface RequestLogQuery {
  readonly ip?: string
  readonly host?: string
  readonly user?: string
  readonly status?: number
  readonly method?: string
  /** A path, or a pattern: `*` and `:name` stand for any segment, `**` at the end for whatever follows. */
  readonly path?: string
  /** Only those with a status of 400 and more. */
  readonly errors?: boolean
  /** Only those that took more than a second. */
  readonly slow?: boolean
  /** Not before this time. */
  readonly since?: Date
  /** Before this time. */
  readonly until?: Date
  /** The latest first unless this is `'asc'`. */
  readonly order?: 'asc' | 'desc'
  /** Records of a page: 1 to 1,000; 100 unless given. */
  readonly limit?: number
  /** Where the page before ended. */
  readonly cursor?: string
}

/** Requests, and where to go on; `null`: there are no more. */
export interface RequestLogPage {
  readonly items: readonly LoggedRequest[]
  readonly cursor: string | null
}

/** Which hours. */
export interface RequestLogSpan {
  /** 23 hours before the end unless given; counts are kept for 48 hours. */
  readonly since?: Date
  /** Now unless given. */
  readonly until?: Date
  /** Tells visitors of this host as well. */
  readonly host?: string
}

/** What an hour counted. */
export interface RequestLogHour {
  /** When the hour began. */
  readonly hour: Date
  readonly requests: number
  readonly errors: number
  /** Different addresses that asked for the host: on Redis within 2 %, in memory exactly. */
  readonly visitors?: number
}

/** How long requests took, in ms, within 1 %; `null` when there were none. */
export interface RequestLogPercentiles {
  readonly count: number
  readonly p50: number | null
  readonly p90: number | null
  readonly p95: number | null
  readonly p99: number | null
  readonly max: number | null
}

/** What following the log takes. */
export interface RequestLogFollowOptions extends CallOptions {
  /** Behind this cursor; what comes from now on unless given. */
  readonly after?: string
}

/** What a rebuild met. */
export interface RequestLogRebuilt {
  readonly records: number
  /** Entries that were made or dropped. */
  readonly mended: number
}
