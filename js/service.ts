import type { Breaker } from './breaker.js'
import type { Breakers } from './breakers.js'
import { type Calls, numberOf } from './calls.js'
import type { Json } from './generated/records.js'
import type {
  Exchange,
  HistoryEntry,
  HistoryOptions,
  Page,
  PageOptions,
  RecordedRequest,
  TableEntry,
  TableSetOptions,
} from './service-types.js'
import type { CallOptions } from './types.js'

const SET = numberOf('table.set')
const GET = numberOf('table.get')
const HAS = numberOf('table.has')
const DELETE = numberOf('table.delete')
const ENTRIES = numberOf('table.entries')
const DATA = numberOf('table.data')
const CLEAR = numberOf('table.clear')
const RECORD = numberOf('history.record')
const LATEST = numberOf('history.get')
const BY_ID = numberOf('history.getById')
const SET_RESPONSE = numberOf('history.setResponse')
const HISTORY_ENTRIES = numberOf('history.entries')
const HISTORY_DATA = numberOf('history.data')
const HISTORY_LENGTH = numberOf('history.length')
const HISTORY_CLEAR = numberOf('history.clear')

const plain = (written: Json): unknown => written
const inList = (written: Json): unknown => (written === null ? null : (written as readonly Json[])[0])

type Written = Record<string, unknown>

function dated(entry: Written): Written {
  const { at, expiresAt } = entry
  if (at !== undefined) entry.at = new Date(at as number)
  entry.expiresAt = expiresAt === null ? null : new Date(expiresAt as number)
  return entry
}

const entry = (written: Json): unknown => (written === null ? null : dated(written as Written))

function page(written: Json): unknown {
  const { items, cursor } = written as unknown as { items: Written[]; cursor: Json }
  return { items: items.map(dated), cursor }
}

/** JSON values by key, each with a life of its own, in a table of one service. */
export class Table<T = Json> {
  readonly #calls: Calls
  readonly #place: { readonly service: string; readonly table: string }

  /** @internal */
  constructor(calls: Calls, service: string, table: string) {
    this.#calls = calls
    this.#place = { service, table }
  }

  /** Sets a value. One round trip. */
  set(key: string, value: T, options?: TableSetOptions): Promise<void> {
    return this.#of(SET, key, value, options, plain, true) as Promise<void>
  }

  /** The value, or `null` when there is none. One round trip. */
  get(key: string, options?: CallOptions): Promise<T | null> {
    return this.#of(GET, key, undefined, options, inList, false) as Promise<T | null>
  }

  /** Whether there is a value. One round trip. */
  has(key: string, options?: CallOptions): Promise<boolean> {
    return this.#of(HAS, key, undefined, options, plain, false) as Promise<boolean>
  }

  /** Removes a value; `false` when there was none. Two round trips. */
  delete(key: string, options?: CallOptions): Promise<boolean> {
    return this.#of(DELETE, key, undefined, options, plain, false) as Promise<boolean>
  }

  /** All values by key, in the order of the keys' bytes. Two round trips for each 500 of them. */
  async data(options?: CallOptions): Promise<Map<string, T>> {
    const all = (await this.#calls.byUser(DATA, this.#place, undefined, options, page, false)) as Page<
      TableEntry<T>
    >
    return new Map(all.items.map(({ key, value }) => [key, value]))
  }

  /** A page of values, in the order of the keys' bytes. A value that is there all the time is seen once. */
  entries(options?: PageOptions): Promise<Page<TableEntry<T>>> {
    return this.#calls.byUser(ENTRIES, this.#place, undefined, options, page, false) as Promise<
      Page<TableEntry<T>>
    >
  }

  /** Removes all values of this table. One round trip. */
  clear(options?: CallOptions): Promise<void> {
    return this.#calls.byUser(CLEAR, this.#place, undefined, options, plain, false) as Promise<void>
  }

  #of(
    operation: number,
    key: string,
    data: unknown,
    options: unknown,
    revive: (written: Json) => unknown,
    hasData: boolean,
  ): Promise<unknown> {
    return this.#calls.byUser(operation, { ...this.#place, key }, data, options, revive, hasData)
  }
}

/** What a service was asked and what it answered. Secrets are masked before anything is stored. */
export class History {
  readonly #calls: Calls
  readonly #service: string
  readonly #options: HistoryOptions

  /** @internal */
  constructor(calls: Calls, service: string, options: HistoryOptions) {
    this.#calls = calls
    this.#service = service
    this.#options = options
  }

  /** Keeps a request, with its response if there is one. One round trip. */
  record(exchange: Exchange, options?: CallOptions): Promise<HistoryEntry> {
    const place = { service: this.#service }
    const how = { ...this.#options, ...options }
    return this.#calls.byUser(RECORD, place, exchange, how, entry, true) as Promise<HistoryEntry>
  }

  /** The latest entry for a request's method and URL, or `null`. Two round trips. */
  get(
    { method, url }: Pick<RecordedRequest, 'method' | 'url'>,
    options?: CallOptions,
  ): Promise<HistoryEntry | null> {
    const place = { service: this.#service, method, url }
    return this.#calls.byUser(LATEST, place, undefined, options, entry, false) as Promise<HistoryEntry | null>
  }

  /** The entry, or `null` when there is none. One round trip. */
  getById(id: string, options?: CallOptions): Promise<HistoryEntry | null> {
    const place = { service: this.#service, id }
    return this.#calls.byUser(BY_ID, place, undefined, options, entry, false) as Promise<HistoryEntry | null>
  }

  /**
   * Sets an entry's response; its end stays. Two round trips.
   *
   * @throws NotFoundError
   */
  setResponse(id: string, response: object, options?: CallOptions): Promise<HistoryEntry> {
    const place = { service: this.#service, id }
    const how = { ...this.#options, ...options }
    return this.#calls.byUser(SET_RESPONSE, place, response, how, entry, true) as Promise<HistoryEntry>
  }

  /** All entries, the oldest first. Two round trips for each 500 of them. */
  async data(options?: CallOptions): Promise<HistoryEntry[]> {
    const place = { service: this.#service }
    const all = await this.#calls.byUser(HISTORY_DATA, place, undefined, options, page, false)
    return (all as Page<HistoryEntry>).items
  }

  /** A page of entries, the oldest first. */
  entries(options?: PageOptions): Promise<Page<HistoryEntry>> {
    const place = { service: this.#service }
    return this.#calls.byUser(HISTORY_ENTRIES, place, undefined, options, page, false) as Promise<
      Page<HistoryEntry>
    >
  }

  /** How many entries there are. One round trip, and two for each 500 whose end has come. */
  length(options?: CallOptions): Promise<number> {
    const place = { service: this.#service }
    return this.#calls.byUser(HISTORY_LENGTH, place, undefined, options, inList, false) as Promise<number>
  }

  /** Removes all entries. Their ids are not given again. One round trip. */
  clear(options?: CallOptions): Promise<void> {
    const place = { service: this.#service }
    return this.#calls.byUser(HISTORY_CLEAR, place, undefined, options, plain, false) as Promise<void>
  }
}

/** What one service sees of a storage: nothing that belongs to another one. Its parts are made when they are asked for. */
export class ServiceView {
  readonly #calls: Calls
  readonly #breakers: () => Breakers
  readonly #tables = new Map<string, Table<unknown>>()
  readonly #circuits = new Map<string, Breaker>()
  readonly name: string

  /** @internal */
  constructor(calls: Calls, name: string, breakers: () => Breakers) {
    this.#calls = calls
    this.#breakers = breakers
    this.name = name
  }

  /** A table by name. Nothing is stored until a value is set. */
  table<T = Json>(name: string): Table<T> {
    let table = this.#tables.get(name)
    if (!table) {
      table = new Table(this.#calls, this.name, name)
      this.#tables.set(name, table)
    }
    return table as Table<T>
  }

  /** The service's history, with this way of keeping it. */
  history(options: HistoryOptions = {}): History {
    return new History(this.#calls, this.name, options)
  }

  /** The circuit breaker of this name around what the service calls. Another service's of the same name is another one. */
  circuitBreaker(name: string, config: Parameters<Breakers['get']>[1] = {}): Breaker {
    const breaker = this.#breakers().get(name, { ...config, context: this.name })
    this.#circuits.set(name, breaker)
    return breaker
  }

  /** The circuit breakers that were asked for here. */
  circuitBreakers(): Breaker[] {
    return [...this.#circuits.values()]
  }
}
