import type { Json, JsonObject } from './generated/records.js'
import type { CallOptions } from './types.js'

/** What setting a value takes. */
export interface TableSetOptions extends CallOptions {
  /** The value's life in seconds; fractions count; 0, the default, is for ever. */
  readonly ttlSeconds?: number
}

/** What a page takes. */
export interface PageOptions extends CallOptions {
  /** At most so many: 1 to 1,000; 100 unless given. */
  readonly limit?: number
  /** Where an earlier page ended. */
  readonly cursor?: string
}

/** A page. */
export interface Page<T> {
  readonly items: T[]
  /** Stands behind the last item; `null` when there is nothing behind it. */
  readonly cursor: string | null
}

/** A value of a table. */
export interface TableEntry<T = Json> {
  readonly key: string
  readonly value: T
  readonly expiresAt: Date | null
}

/** A request as it is recorded: JSON. */
export interface RecordedRequest {
  readonly method: string
  readonly url: string
  readonly headers?: object
  readonly body?: unknown
  readonly [field: string]: unknown
}

/** What is recorded. */
export interface Exchange {
  readonly request: RecordedRequest
  /** Absent while there is none: see `setResponse`. */
  readonly response?: object
}

/** How a history keeps its entries. */
export interface HistoryOptions {
  /** How long an entry is kept, in seconds; fractions count; 0 is for ever. 3,600 unless given. */
  readonly historyDurationSeconds?: number
  /** Headers to mask beside `Authorization`, `Cookie`, `Set-Cookie`, `X-Api-Key`; `*` stands for any characters. */
  readonly maskHeaders?: readonly string[]
  /** Values to mask: `request.body.card.number`, `response.body.items[*].token`, `$..password`. */
  readonly maskPaths?: readonly string[]
  /** Bytes of an entry; a longer one loses its bodies, and more if need be, and is marked so. 65,536 unless given. */
  readonly maxEntryBytes?: number
}

/** An entry of a history. */
export interface HistoryEntry {
  readonly id: string
  readonly method: string
  readonly url: string
  readonly request: JsonObject
  readonly response: JsonObject | null
  readonly at: Date
  readonly expiresAt: Date | null
  /** It was too long and is not whole. */
  readonly truncated: boolean
}
