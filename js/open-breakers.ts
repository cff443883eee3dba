import type { Breaker } from './breaker.js'
import { BreakerAudit } from './breaker-audit.js'
import type { BreakerConfig } from './breaker-types.js'
import type { Breakers, ChangeLog } from './breakers.js'
import { ConfigError } from './errors.js'
import { MemoryStorage, RedisAdapter } from './open.js'
import { SqlBreakers, type SqlOptions } from './sql-breakers.js'

/** Where breakers are kept. */
export interface BreakerStoreOptions {
  readonly driver: 'memory' | 'redis' | 'sql'
  /** `REDIS_URL` or `DATABASE_URL` unless given. */
  readonly url?: string
  /** In front of keys or of tables' names. */
  readonly prefix?: string
  /** Of a database: the tables' own names. */
  readonly tables?: SqlOptions['tables']
  /**
   * Of `memory` and `redis`: a database that every change is written down in as well, beside the calls and in batches.
   * The name of a `sql` store among these, or `sql` for the database of `DATABASE_URL`. While it is away the latest
   * 1,000 changes wait; what they push out is written down as one `dropped` event. Changes that wait when the process
   * ends abruptly are not written down.
   */
  readonly audit?: string
  /** Of a database: 5 unless given. */
  readonly connections?: number
  /** How long a call waits, in ms. */
  readonly timeoutMs?: number
}

/** Which stores, by names of the caller's own. */
export interface OpenBreakersOptions {
  readonly stores?: Readonly<Record<string, BreakerStoreOptions>>
  /** The store that `get` uses: `FLOWKEEP_BREAKER_STORE`, else the one called `default`, else the only one. */
  readonly default?: string
}

/** Circuit breakers in several stores. */
export class BreakerStores {
  readonly #stores: ReadonlyMap<string, Breakers>
  readonly #default: Breakers
  readonly #ends: readonly (() => Promise<void>)[]
  readonly #audits: readonly BreakerAudit[]

  /** @internal */
  constructor(
    stores: ReadonlyMap<string, Breakers>,
    usual: Breakers,
    ends: readonly (() => Promise<void>)[],
    audits: readonly BreakerAudit[],
  ) {
    this.#stores = stores
    this.#default = usual
    this.#ends = ends
    this.#audits = audits
  }

  /** A breaker of the default store. */
  get(name: string, config?: BreakerConfig): Breaker {
    return this.#default.get(name, config)
  }

  /**
   * The breakers of a store; those of a database are `SqlBreakers`.
   *
   * @throws ConfigError when there is none of this name
   */
  store(name?: string): Breakers {
    const found = name === undefined ? this.#default : this.#stores.get(name)
    if (found) return found
    throw refused(`there is no store of breakers called ${JSON.stringify(name)}`)
  }

  /**
   * Waits until every audit has what has changed so far.
   *
   * @throws StorageError when a database of one does not take it
   */
  async flush(): Promise<void> {
    await Promise.all(this.#audits.map((audit) => audit.flush()))
  }

  /** Closes every store, and before a database what writes into it. */
  async close(): Promise<void> {
    for (const end of this.#ends) await end()
  }

  /** `await using breakers = ...` closes them. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * Opens stores of circuit breakers. Without options the environment decides: `FLOWKEEP_BREAKER_STORE` is `memory` (the
 * default), `redis` or `sql`, at `REDIS_URL` or `DATABASE_URL`.
 *
 * @throws ConfigError
 */
export function openBreakers(options: OpenBreakersOptions = {}): BreakerStores {
  const { FLOWKEEP_BREAKER_STORE: chosen = '' } = process.env
  const given = options.stores ?? { default: { driver: driver(chosen === '' ? 'memory' : chosen) } }
  const names = Object.keys(given)
  const first = names.length === 1 ? names[0] : 'default'
  const fromEnvironment = options.stores !== undefined && names.includes(chosen) ? chosen : undefined
  const usual = options.default ?? fromEnvironment ?? first ?? 'default'
  if (!names.includes(usual))
    throw refused(`the default store of breakers, ${JSON.stringify(usual)}, is not among the stores`)
  const stores = new Map<string, Breakers>()
  const ends: (() => Promise<void>)[] = []
  const databases: (() => Promise<void>)[] = []
  for (const [name, store] of Object.entries(given)) {
    const [breakers, end] = opened(store)
    stores.set(name, breakers)
    if (breakers instanceof SqlBreakers) databases.push(end)
    else ends.push(end)
  }
  const audits = Object.entries(given).flatMap(([name, { audit }]) => {
    if (audit === undefined) return []
    const [database, end] = databaseFor(audit, stores)
    if (end) databases.push(end)
    return [new BreakerAudit(audited(stores.get(name) as Breakers), database)]
  })
  // What is changed while they close is still written down.
  ends.push(...audits.map((audit) => () => audit.close()), ...databases)
  return new BreakerStores(stores, stores.get(usual) as Breakers, ends, audits)
}

/**
 * Brings every breaker of one store, with its state, to another. What is of a later generation there stays. How many
 * were taken over.
 */
export async function copyBreakers(from: Breakers, to: Breakers): Promise<number> {
  return to.import(await from.export())
}

/** The database of an audit; one that is opened for it has to be closed. */
function databaseFor(
  audit: string,
  stores: ReadonlyMap<string, Breakers>,
): [SqlBreakers, (() => Promise<void>)?] {
  const named = stores.get(audit)
  if (named instanceof SqlBreakers) return [named]
  if (named !== undefined || audit !== 'sql')
    throw refused(`an audit is a store of the driver 'sql', or 'sql': ${JSON.stringify(audit)} is neither`)
  const [breakers, end] = opened({ driver: 'sql' })
  return [breakers as SqlBreakers, end]
}

function audited(breakers: Breakers): ChangeLog {
  if (breakers.changes) return breakers.changes
  throw refused('a store of the driver sql writes its own audit')
}

function opened(store: BreakerStoreOptions): [Breakers, () => Promise<void>] {
  const { url, prefix, tables, connections, timeoutMs } = store
  const common = {
    ...(prefix === undefined ? {} : { prefix }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  }
  switch (driver(store.driver)) {
    case 'sql': {
      const place = url ?? process.env.DATABASE_URL ?? ''
      if (place === '') throw refused('no database is named: set DATABASE_URL, or the option url')
      const breakers = new SqlBreakers({
        ...common,
        url: place,
        ...(tables === undefined ? {} : { tables }),
        ...(connections === undefined ? {} : { connections }),
      })
      return [breakers, () => breakers.close()]
    }
    case 'redis': {
      const place = url ?? process.env.REDIS_URL ?? ''
      if (place === '') throw refused('no Redis is named: set REDIS_URL, or the option url')
      const storage = new RedisAdapter(place, common)
      return [storage.breakers, () => storage.close()]
    }
    default: {
      const storage = new MemoryStorage(common)
      return [storage.breakers, () => storage.close()]
    }
  }
}

function driver(name: string): BreakerStoreOptions['driver'] {
  if (name === 'memory' || name === 'redis' || name === 'sql') return name
  throw refused(`breakers are kept by 'memory', 'redis' or 'sql', not by ${JSON.stringify(name)}`)
}

function refused(message: string): ConfigError {
  const facts = { operation: 'openBreakers', retryable: false, attempts: 1, outcome: 'not-applied' } as const
  return new ConfigError({ code: 'STORAGE_CONFIG', message, ...facts })
}
