import { type Calls, numberOf } from './calls.js'
import type { Json } from './generated/records.js'
import type { CallOptions } from './types.js'

const SET = numberOf('cache.set')
const GET = numberOf('cache.get')
const DELETE = numberOf('cache.delete')
const EXISTS = numberOf('cache.exists')
const FLIGHT = numberOf('cache.getOrSet')
const LAND = numberOf('cache.land')
const GIVE_UP = numberOf('cache.giveUp')

/** What setting takes. */
export interface CacheSetOptions extends CallOptions {
  /** The value's life in seconds; fractions count; 0, the default, is for ever. */
  readonly ttlSeconds?: number
}

/** What `getOrSet` takes. `timeoutMs` is for each round trip; the function takes as long as it takes. */
export interface GetOrSetOptions extends CacheSetOptions {
  /** How long computing may take, in seconds, until another caller tries as well. 30 unless given. */
  readonly leaseSeconds?: number
  /** How long after its end a value is still given out, in seconds, while a new one is computed. Not at all unless given. */
  readonly staleSeconds?: number
  /** How long `null` is kept, in seconds. It is not kept unless given. */
  readonly negativeTtlSeconds?: number
}

/** What the engine says of a key. */
interface Sight {
  readonly value?: readonly [Json]
  readonly stale?: readonly [Json]
  readonly token?: string
  readonly waitMs?: number
}

const plain = (written: Json): unknown => written
const inList = (written: Json): unknown => (written === null ? null : (written as readonly Json[])[0])

/** JSON values by key, each with a life of its own. On Redis a value is the plain text `<prefix>cache:<key>`. */
export class Cache {
  readonly #calls: Calls
  /** What is being computed here, by key. */
  readonly #flights = new Map<string, Promise<unknown>>()

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls
  }

  /** Sets a value. What `getOrSet` is computing meanwhile does not replace it. One round trip. */
  set(key: string, value: unknown, options?: CacheSetOptions): Promise<void> {
    return this.#calls.byUser(SET, key, value, options, plain, true) as Promise<void>
  }

  /** The value, or `null` when there is none. One round trip. */
  get<T = Json>(key: string, options?: CallOptions): Promise<T | null> {
    return this.#calls.byUser(GET, key, undefined, options, inList, false) as Promise<T | null>
  }

  /** Removes a value; what `getOrSet` is computing meanwhile is not kept. `false` when there was none. One round trip. */
  delete(key: string, options?: CallOptions): Promise<boolean> {
    return this.#calls.byUser(DELETE, key, undefined, options, plain, false) as Promise<boolean>
  }

  /** Whether there is a value. One round trip. */
  exists(key: string, options?: CallOptions): Promise<boolean> {
    return this.#calls.byUser(EXISTS, key, undefined, options, plain, false) as Promise<boolean>
  }

  /**
   * The value, or what `compute` gives, which is kept. Of all callers in all processes one computes, the others wait for
   * it; when it fails, its callers are told and another may try. One round trip when there is a value.
   */
  async getOrSet<T = Json>(
    key: string,
    compute: () => T | Promise<T>,
    options: GetOrSetOptions = {},
  ): Promise<T> {
    const { signal, ...rest } = options
    if (signal?.aborted) throw signal.reason
    let flight = this.#flights.get(key)
    if (!flight) {
      flight = this.#fly(key, compute, rest).finally(() => this.#flights.delete(key))
      this.#flights.set(key, flight)
    }
    return (await unlessAborted(flight, signal)) as T
  }

  async #fly(key: string, compute: () => unknown, options: GetOrSetOptions): Promise<unknown> {
    const { leaseSeconds, timeoutMs, ...kept } = options
    const asked = { ...given('leaseSeconds', leaseSeconds), ...given('timeoutMs', timeoutMs) }
    for (;;) {
      const sight = (await this.#calls.byUser(FLIGHT, key, undefined, asked, plain, false)) as Sight
      if (sight.value) return sight.value[0]
      if (sight.token !== undefined) {
        const landing = { ...kept, ...given('timeoutMs', timeoutMs), token: sight.token }
        const computed = this.#compute(key, compute, landing)
        if (!sight.stale) return computed
        // Who asks next hears of a failure; this caller has its answer.
        computed.catch(() => {})
      }
      if (sight.stale) return sight.stale[0]
      await new Promise((resume) => setTimeout(resume, sight.waitMs))
    }
  }

  async #compute(key: string, compute: () => unknown, landing: { token: string }): Promise<unknown> {
    try {
      const value = (await compute()) ?? null
      await this.#calls.byUser(LAND, key, value, landing, plain, true)
      return value
    } catch (error) {
      await this.#calls.byUser(GIVE_UP, key, landing.token, undefined, plain, true).catch(() => false)
      throw error
    }
  }
}

function given(name: string, value: unknown): Record<string, unknown> {
  return value === undefined ? {} : { [name]: value }
}

function unlessAborted(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<unknown> {
  if (!signal) return work
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
