import type { ChangeLog } from './breakers.js'
import type { Json } from './generated/records.js'
import type { SqlBreakers } from './sql-breakers.js'

/** How often changes are looked for, in ms. */
const EVERY_MS = 100
/** The same while the database does not take them. */
const AWAY_MS = 1_000
/** Changes that wait at the most. */
const LIMIT = 1_000

/** Carries what changes in one store of breakers to a database, beside the calls. */
export class BreakerAudit {
  readonly #from: ChangeLog
  readonly #to: SqlBreakers
  readonly #timer: NodeJS.Timeout
  #carrying: Promise<void> | undefined
  #notBefore = 0

  constructor(from: ChangeLog, to: SqlBreakers) {
    this.#from = from
    this.#to = to
    from.keep(LIMIT)
    this.#timer = setInterval(() => {
      // Who is not there is asked again; a call never hears of it.
      if (performance.now() >= this.#notBefore) this.flush().catch(() => {})
    }, EVERY_MS)
    this.#timer.unref()
  }

  /** Until everything that has changed so far is written down. */
  async flush(): Promise<void> {
    // What is under way may have begun before the latest change.
    await this.#carrying?.catch(() => {})
    this.#carrying ??= this.#carry().finally(() => {
      this.#carrying = undefined
    })
    await this.#carrying
  }

  /** Writes down what is left, if the database takes it. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.flush().catch(() => {})
  }

  async #carry(): Promise<void> {
    for (;;) {
      const changes = JSON.parse(this.#from.read()) as [number, ...Json[]][]
      const last = changes.at(-1)
      if (last === undefined) return
      try {
        await this.#to.record(changes as Json)
      } catch (error) {
        this.#notBefore = performance.now() + AWAY_MS
        throw error
      }
      this.#from.done(last[0])
    }
  }
}
