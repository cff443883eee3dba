import type { NativeBreaker } from '../native.js'
import { Ahead } from './breaker-ahead.js'
import { type BreakerHooks, judged, matches } from './breaker-hooks.js'
import { historyEntry, snapshot } from './breaker-read.js'
import type {
  BreakerCall,
  BreakerCallOptions,
  BreakerEvents,
  BreakerHistoryEntry,
  BreakerMetrics,
  BreakerName,
  BreakerOrder,
  BreakerSnapshot,
} from './breaker-types.js'
import { errorOf, TimeoutError } from './errors.js'
import type { Json } from './generated/records.js'
import { type Listener, Listeners } from './listeners.js'
import type { CallOptions, ListOptions } from './types.js'

/** Answers of `begin` that are no permits. */
const REJECTED = -1
/** Bits of the answer of `end`. */
const TOLD = 1
const URGENT = 2

/** What a breaker needs of the breakers around it. */
export interface BreakerHome {
  /** A question about a breaker, or an order. */
  ask(name: string, breaker: number, options: unknown): Promise<Json>
  /** A call was made: what is shared is kept fresh from now on. */
  stir(): void
  /** The store should hear of it now. */
  hurry(): void
  /** Transitions wait to be told. */
  tell(): void
}

/** A circuit breaker around calls of the caller's own: see `call`. */
export class Breaker {
  readonly name: string
  readonly context: string | undefined
  readonly boundary: string | undefined
  readonly #native: NativeBreaker
  readonly #home: BreakerHome
  readonly #listeners = new Listeners<BreakerEvents>()
  readonly #all: Listeners<BreakerEvents>
  readonly #id: BreakerName
  readonly #ahead: Ahead
  #hooks: BreakerHooks
  /** The latest answer of `begin`: in one generation all calls get the same. */
  #usual = 0
  /** What follows a call that was made without asking. */
  #gaveAhead: (value: unknown) => unknown
  #threwAhead: (error: unknown) => never

  /** @internal */
  constructor(
    id: BreakerName,
    native: NativeBreaker,
    home: BreakerHome,
    all: Listeners<BreakerEvents>,
    hooks: BreakerHooks,
  ) {
    this.name = id.name
    this.context = id.context
    this.boundary = id.boundary
    this.#id = id
    this.#native = native
    this.#home = home
    this.#all = all
    this.#hooks = hooks
    this.#ahead = new Ahead(native)
    this.#gaveAhead = this.#gaveWith(0)
    this.#threwAhead = this.#threwWith(0)
  }

  /** @internal */
  setHooks(hooks: BreakerHooks): void {
    this.#hooks = hooks
    this.recall()
  }

  /** @internal Tells the engine what was noted, and asks it before the next call. */
  recall(): void {
    this.#ahead.end()
    this.#handOver()
  }

  /**
   * Calls `fn`, if the breaker lets it through: gives what it gives, throws what it throws. Otherwise rejects with
   * `CircuitOpenError`, or gives the fallback. A healthy call makes no round trip; whether a probe may be made is
   * asked of the store. A store that is away never makes a call fail.
   */
  call<R>(fn: (call: BreakerCall) => R | PromiseLike<R>, options?: BreakerCallOptions): Promise<Awaited<R>> {
    if (options === undefined && this.#ahead.begin()) return this.#runAhead(fn)
    return this.#asking(fn, options)
  }

  #asking<R>(
    fn: (call: BreakerCall) => R | PromiseLike<R>,
    options: BreakerCallOptions | undefined,
  ): Promise<Awaited<R>> {
    this.#home.stir()
    this.#handOver()
    const permit = this.#ahead.ask(!this.#hooks.custom && !this.#hearsCalls())
    if (permit !== this.#usual) {
      this.#usual = permit
      this.#gaveAhead = this.#gaveWith(permit)
      this.#threwAhead = this.#threwWith(permit)
      this.#home.tell()
    }
    if (options === undefined && this.#ahead.isGiven) return this.#runAhead(fn)
    if (permit >= 0) return this.#run(permit, fn, options)
    if (permit === REJECTED) return this.#rejected(errorOf(this.#native.refusal(), (value) => value))
    return this.#asked().then(
      (given) => this.#run(given, fn, options),
      (error) => this.#rejected(error),
    )
  }

  /** How it is; asks the store when what is known here is older than 100 ms. */
  async state(options?: CallOptions): Promise<BreakerSnapshot> {
    this.#handOver()
    return snapshot(await this.#home.ask('breaker.state', this.#native.number, options))
  }

  /** What it counted; asks the store like `state`. */
  async metrics(options?: CallOptions): Promise<BreakerMetrics> {
    this.#handOver()
    return (await this.#home.ask(
      'breaker.metrics',
      this.#native.number,
      options,
    )) as unknown as BreakerMetrics
  }

  /** Opens it. One that is open already stays as it is. Reaches every process that shares it. */
  open(order?: BreakerOrder): Promise<BreakerSnapshot> {
    return this.#order('breaker.open', order)
  }

  /** Closes it: whatever was counted is forgotten. */
  close(order?: BreakerOrder): Promise<BreakerSnapshot> {
    return this.#order('breaker.close', order)
  }

  /** Lets nothing through, until told otherwise or for as long as is said. */
  isolate(order?: BreakerOrder): Promise<BreakerSnapshot> {
    return this.#order('breaker.isolate', order)
  }

  /** Lets everything through and counts nothing, until told otherwise or for as long as is said. */
  disable(order?: BreakerOrder): Promise<BreakerSnapshot> {
    return this.#order('breaker.disable', order)
  }

  /** Closed and nothing counted, whatever it was; calls under way count for nothing. */
  reset(order?: BreakerOrder): Promise<BreakerSnapshot> {
    return this.#order('breaker.reset', order)
  }

  /** Its latest changes, the newest first: at most 100. */
  async history(options?: Omit<ListOptions, 'order'>): Promise<BreakerHistoryEntry[]> {
    this.#handOver()
    const entries = (await this.#home.ask('breaker.history', this.#native.number, options)) as Json[]
    return entries.map(historyEntry)
  }

  /** Hears of what happens; the function that comes back ends that. */
  on<K extends keyof BreakerEvents>(type: K, listener: Listener<BreakerEvents[K]>): () => void {
    // Who listens to calls hears of those that begin from now on.
    this.recall()
    return this.#listeners.on(type, listener)
  }

  /** @internal */
  tell<K extends keyof BreakerEvents>(type: K, event: BreakerEvents[K]): void {
    this.#listeners.tell(type, event)
    this.#all.tell(type, event)
  }

  #hears(type: keyof BreakerEvents): boolean {
    return this.#listeners.has(type) || this.#all.has(type)
  }

  /** Whether anybody hears of each call. */
  #hearsCalls(): boolean {
    return this.#hears('attempted') || this.#hears('succeeded') || this.#hears('failed')
  }

  async #order(name: string, order: BreakerOrder | undefined): Promise<BreakerSnapshot> {
    this.recall()
    const now = snapshot(await this.#home.ask(name, this.#native.number, order))
    this.recall()
    this.#home.tell()
    // It holds here; the store is told when it is back.
    if (now.storeAway) this.#home.stir()
    return now
  }

  async #asked(): Promise<number> {
    try {
      const [permit] = (await this.#home.ask('breaker.call', this.#native.number, undefined)) as [number]
      return permit
    } finally {
      this.#home.tell()
    }
  }

  #rejected<R>(error: unknown): Promise<R> {
    if (this.#hears('rejected')) this.tell('rejected', { ...this.#id, error })
    const { fallback } = this.#hooks
    if (!fallback) return Promise.reject(error)
    const { value } = fallback
    if (typeof value !== 'function') return Promise.resolve(value as R)
    return new Promise((resolve) => resolve(value(error) as R))
  }

  /** A call that nobody has to hear of unless it fails: how long it takes is not looked at. */
  #runAhead<R>(fn: (call: BreakerCall) => R | PromiseLike<R>): Promise<Awaited<R>> {
    const permit = this.#usual
    const gave = this.#gaveAhead
    const threw = this.#threwAhead
    let made: R | PromiseLike<R>
    try {
      made = fn(UNBOUNDED)
    } catch (error) {
      this.#threw(permit, performance.now(), error)
      return Promise.reject(error)
    }
    return Promise.resolve(made).then(gave, threw) as Promise<Awaited<R>>
  }

  #gaveWith(permit: number): (value: unknown) => unknown {
    return (value) => {
      const { isFailure } = this.#hooks
      if (isFailure !== undefined && judged(isFailure, value)) this.#ended(permit, true, 0, value)
      else if (!this.#ahead.note(permit)) this.#ended(permit, false, 0, undefined)
      else if (this.#ahead.isFull) this.#handOver()
      return value
    }
  }

  #threwWith(permit: number): (error: unknown) => never {
    return (error) => {
      this.#threw(permit, performance.now(), error)
      throw error
    }
  }

  #handOver(): void {
    const bits = this.#ahead.handOver()
    if (bits !== 0) this.#after(bits)
  }

  #run<R>(
    permit: number,
    fn: (call: BreakerCall) => R | PromiseLike<R>,
    options: BreakerCallOptions | undefined,
  ): Promise<Awaited<R>> {
    if (this.#hears('attempted')) this.tell('attempted', { ...this.#id })
    if (options !== undefined && (options.signal || options.timeoutMs !== undefined)) {
      return this.#bounded(permit, fn, options)
    }
    const from = performance.now()
    let made: R | PromiseLike<R>
    try {
      made = fn(UNBOUNDED)
    } catch (error) {
      this.#threw(permit, from, error)
      return Promise.reject(error)
    }
    return Promise.resolve(made).then(
      (value) => {
        this.#gave(permit, from, value)
        return value
      },
      (error) => {
        this.#threw(permit, from, error)
        throw error
      },
    )
  }

  /** With a time limit or a signal: what comes first ends the call, and ends it once. */
  #bounded<R>(
    permit: number,
    fn: (call: BreakerCall) => R | PromiseLike<R>,
    { signal, timeoutMs }: BreakerCallOptions,
  ): Promise<Awaited<R>> {
    if (signal?.aborted) {
      this.#after(this.#native.release(permit))
      return Promise.reject(signal.reason)
    }
    const own = new AbortController()
    const from = performance.now()
    return new Promise((resolve, reject) => {
      let over = false
      const end = (): boolean => {
        if (over) return false
        over = true
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        return true
      }
      const abort = () => {
        if (!end()) return
        this.#after(this.#native.release(permit))
        own.abort(signal?.reason)
        reject(signal?.reason)
      }
      const late = () => {
        if (!end()) return
        const error = lateError(timeoutMs ?? 0)
        this.#threw(permit, from, error)
        own.abort(error)
        reject(error)
      }
      const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs)
      signal?.addEventListener('abort', abort, { once: true })
      const made = new Promise<R>((settle) => settle(fn({ signal: own.signal })))
      made.then(
        (value) => {
          if (end()) this.#gave(permit, from, value)
          resolve(value as Awaited<R>)
        },
        (error) => {
          if (end()) this.#threw(permit, from, error)
          reject(error)
        },
      )
    })
  }

  #gave(permit: number, from: number, value: unknown): void {
    const took = performance.now() - from
    const { isFailure } = this.#hooks
    const failed = isFailure !== undefined && judged(isFailure, value)
    this.#ended(permit, failed, took, failed ? value : undefined)
  }

  #threw(permit: number, from: number, error: unknown): void {
    const took = performance.now() - from
    const { isFailure, ignore, record } = this.#hooks
    const listed = !(ignore && matches(ignore, error)) && !(record && !matches(record, error))
    const failed = listed && (isFailure === undefined || judged(isFailure, error))
    this.#ended(permit, failed, took, error)
  }

  #ended(permit: number, failed: boolean, took: number, error: unknown): void {
    if (failed) this.#ahead.end()
    this.#handOver()
    const bits = this.#native.end(permit, failed, took)
    if (failed) {
      if (this.#hears('failed')) this.tell('failed', { ...this.#id, durationMs: took, error })
    } else if (this.#hears('succeeded')) {
      this.tell('succeeded', { ...this.#id, durationMs: took })
    }
    if (bits !== 0) this.#after(bits)
    const { custom } = this.#hooks
    if (custom) {
      const metrics = JSON.parse(this.#native.metrics()) as BreakerMetrics
      if (judged(custom as (value: unknown) => boolean, metrics)) this.#after(this.#native.trip())
    }
  }

  #after(bits: number): void {
    if ((bits & TOLD) !== 0) this.#home.tell()
    if ((bits & URGENT) !== 0) this.#home.hurry()
  }
}

/** For a call without a signal or a time limit: never aborted, the same for all. */
const UNBOUNDED: BreakerCall = Object.freeze({ signal: new AbortController().signal })

function lateError(timeoutMs: number): TimeoutError {
  return new TimeoutError({
    code: 'STORAGE_TIMEOUT',
    message: `the protected call took longer than ${timeoutMs} ms`,
    operation: 'breaker.call',
    retryable: true,
    attempts: 1,
    outcome: 'unknown',
  })
}
