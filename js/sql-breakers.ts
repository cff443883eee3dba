import { dated } from './breaker-read.js'
import type { BreakerEventPage, BreakerEventQuery, BreakerRow, BreakerTableQuery } from './breaker-types.js'
import { type BreakerLink, Breakers } from './breakers.js'
import { numberOf } from './calls.js'
import { encode } from './encode.js'
import { errorOf } from './errors.js'
import type { Json } from './generated/records.js'
import { NativeSql } from './native-binding.js'

/** How often the database's thread is asked for answers while calls wait, in ms. */
const TICK_MS = 3
/** The first character of an error's text. */
const ERROR = 33

/** Where a database is and how it is used. */
export interface SqlOptions {
  readonly url: string
  /** In front of the tables' names. */
  readonly prefix?: string
  /** The tables' own names: `circuit_breakers` and `circuit_breaker_events` unless given. */
  readonly tables?: { readonly breakers?: string; readonly events?: string }
  /** 5 unless given. */
  readonly connections?: number
  /** How long a call waits, in ms: 2,000 unless given. */
  readonly timeoutMs?: number
}

/** Calls to a database's own thread. Only waiting calls keep the process alive. */
class SqlLink implements BreakerLink {
  readonly shared = true
  readonly #native: NativeSql
  readonly #waiting = new Map<number, (text: string) => void>()
  #timer: NodeJS.Timeout | undefined

  constructor({ url, prefix = '', tables = {}, connections, timeoutMs = 2_000 }: SqlOptions) {
    try {
      this.#native = new NativeSql(url, prefix, connections, timeoutMs, tables.breakers, tables.events)
    } catch (error) {
      const text = error instanceof Error ? error.message : ''
      throw text.startsWith('!') ? errorOf(text, (value) => value) : error
    }
  }

  breaker(config: string, tagged: boolean) {
    return this.#native.breaker(config, tagged)
  }

  told(): string {
    return this.#native.told()
  }

  ask(name: string, id: string, options: unknown, data?: unknown): Promise<Json> {
    const { signal, ...rest } = (options ?? {}) as { signal?: AbortSignal }
    if (signal?.aborted) return Promise.reject(signal.reason)
    const given = data === undefined ? undefined : encode(data)
    const how = options === undefined ? undefined : encode(rest)
    const answer = this.#native.call(
      numberOf(name),
      id,
      given?.text,
      given?.tagged === true,
      how?.text,
      how?.tagged === true,
    )
    return new Promise((resolve, reject) => {
      const settle = (text: string) => {
        if (text.charCodeAt(0) === ERROR) reject(errorOf(text, (value) => value))
        else resolve(JSON.parse(text) as Json)
      }
      if (typeof answer === 'string') return settle(answer)
      this.#wait(answer, settle)
      signal?.addEventListener('abort', () => this.#abandon(answer, () => reject(signal.reason)), {
        once: true,
      })
    })
  }

  close(): void {
    this.#native.close()
    this.#settle()
    for (const settle of this.#waiting.values()) settle(CLOSED)
    this.#waiting.clear()
    clearInterval(this.#timer)
  }

  #wait(ticket: number, settle: (text: string) => void): void {
    this.#waiting.set(ticket, settle)
    this.#timer ??= setInterval(() => this.#settle(), TICK_MS)
  }

  #abandon(ticket: number, then: () => void): void {
    if (!this.#waiting.delete(ticket)) return
    this.#native.abandon(ticket)
    this.#rest()
    then()
  }

  #settle(): void {
    const finished = this.#native.finished()
    for (let at = 0; at < finished.length; at += 2) {
      const ticket = finished[at] as number
      const settle = this.#waiting.get(ticket)
      this.#waiting.delete(ticket)
      settle?.(finished[at + 1] as string)
    }
    this.#rest()
  }

  #rest(): void {
    if (this.#waiting.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

/** For calls that were under way when the database was closed. */
const CLOSED =
  '!{"code":"STORAGE_CLOSED","message":"the database is closed","operation":"","outcome":"unknown","retryable":false,"attempts":1}'

/** Circuit breakers in a database, and questions about its tables. */
export class SqlBreakers extends Breakers {
  readonly #link: SqlLink

  /** @throws ConfigError for a URL or a prefix that can't be used */
  constructor(options: SqlOptions) {
    const link = new SqlLink(options)
    super(link)
    this.#link = link
  }

  /** The breakers that are so, by name. */
  async query(filter: BreakerTableQuery = {}): Promise<BreakerRow[]> {
    return ((await this.#link.ask('breakers.query', '', undefined, filter)) as Json[]).map(
      (row) => dated(row, ROW_DATES) as BreakerRow,
    )
  }

  /** Events, the newest first. `cursor` is `null` on the last page. */
  async events(filter: BreakerEventQuery = {}): Promise<BreakerEventPage> {
    const page = (await this.#link.ask(
      'breakers.events',
      '',
      undefined,
      filter,
    )) as unknown as BreakerEventPage
    for (const item of page.items) dated(item as unknown as Json, EVENT_DATES)
    return page
  }

  /** How many events a filter has. */
  async countTransitions(filter: Omit<BreakerEventQuery, 'limit' | 'cursor'> = {}): Promise<number> {
    const [count] = (await this.#link.ask('breakers.countTransitions', '', undefined, filter)) as [number]
    return count
  }

  /** Deletes events that are older, 1,000 at a time. How many those were. */
  async prune(filter: { olderThanSeconds: number; timeoutMs?: number }): Promise<number> {
    const [count] = (await this.#link.ask('breakers.prune', '', undefined, filter)) as [number]
    return count
  }

  /** @internal Changes of breakers in another store, as its engine tells them. */
  async record(changes: Json): Promise<void> {
    await this.#link.ask('breakers.record', '', undefined, changes)
  }

  override async close(): Promise<void> {
    await super.close()
    this.#link.close()
  }
}

const ROW_DATES = ['lastFailureAt', 'openedAt', 'closedAt', 'createdAt', 'updatedAt']
const EVENT_DATES = ['at', 'until', 'droppedSince']
