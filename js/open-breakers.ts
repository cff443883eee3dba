import type { Breaker } from './breaker.js'
import type { BreakerConfig } from './breaker-types.js'
import type { Breakers } from './breakers.js'
import { ConfigError } from './errors.js'
import { MemoryStorage, RedisAdapter } from './open.js'
import { SqlBreakers } from './sql-breakers.js'

/** Where breakers are kept. */
export interface BreakerStoreOptions {
  readonly driver: 'memory' | 'redis' | 'sql'
  /** `REDIS_URL` or `DATABASE_URL` unless given. */
  readonly url?: string
  /** In front of keys or of tables' names. */
  readonly prefix?: string
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

  /** @internal */
  constructor(
    stores: ReadonlyMap<string, Breakers>,
    usual: Breakers,
    ends: readonly (() => Promise<void>)[],
  ) {
    this.#stores = stores
    this.#default = usual
    this.#ends = ends
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

  /** Closes every store. */
  async close(): Promise<void> {
    await Promise.all(this.#ends.map((end) => end()))
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
  for (const [name, store] of Object.entries(given)) {
    const [breakers, end] = opened(store)
    stores.set(name, breakers)
    ends.push(end)
  }
  return new BreakerStores(stores, stores.get(usual) as Breakers, ends)
}

/**
 * Brings every breaker of one store, with its state, to another. What is of a later generation there stays. How many
 * were taken over.
 */
export async function copyBreakers(from: Breakers, to: Breakers): Promise<number> {
  return to.import(await from.export())
}

function opened(store: BreakerStoreOptions): [Breakers, () => Promise<void>] {
  const { url, prefix, connections, timeoutMs } = store
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
