import type { NativeBreaker } from '../native.js'
import { Breaker, type BreakerHome } from './breaker.js'
import { hooksOf } from './breaker-hooks.js'
import { transitionEvent } from './breaker-read.js'
import type { BreakerConfig, BreakerEvents, BreakerName, BreakerState } from './breaker-types.js'
import { encode, isPlainObject } from './encode.js'
import { errorOf } from './errors.js'
import type { Json } from './generated/records.js'
import { type Listener, Listeners } from './listeners.js'
import type { CallOptions } from './types.js'

/** How often breakers that are shared and in use hear from their store, in ms: no copy gets older than 100. */
const FRESH_MS = 80

/** What the breakers stand on. */
export interface BreakerLink {
  /** Whether other processes share the store. */
  readonly shared: boolean
  breaker(config: string, tagged: boolean): NativeBreaker
  told(): string
  ask(name: string, id: string, options: unknown, data?: unknown): Promise<Json>
  /** Where changes can be kept for an audit elsewhere. */
  readonly changes?: ChangeLog
}

/** Changes on their way to an audit. */
export interface ChangeLog {
  /** Keeps them from now on, at most so many. */
  keep(limit: number): void
  /** Those that are not done: a JSON array of number, stamp, id and entry. */
  read(): string
  done(last: number): void
}

const EVENTS: Readonly<Record<BreakerState, 'opened' | 'halfOpened' | 'closed' | 'isolated' | 'disabled'>> = {
  open: 'opened',
  half_open: 'halfOpened',
  closed: 'closed',
  isolated: 'isolated',
  disabled: 'disabled',
}

/** The circuit breakers of one store. */
export class Breakers {
  readonly #link: BreakerLink
  readonly #all = new Listeners<BreakerEvents>()
  readonly #breakers = new Map<number, Breaker>()
  readonly #home: BreakerHome
  #timer: NodeJS.Timeout | undefined
  #syncing: Promise<unknown> | undefined
  #again = false
  #closed = false

  /** @internal */
  constructor(link: BreakerLink) {
    this.#link = link
    this.#home = {
      ask: (name, breaker, options) => link.ask(name, String(breaker), options),
      stir: link.shared ? () => this.#stir() : () => {},
      hurry: () => this.#sync(),
      tell: () => this.#tell(),
    }
  }

  /**
   * The breaker of this name (and context and boundary): the same object each time. Getting one changes no state; a
   * configuration that is given holds from now on.
   *
   * @throws ValidationError
   */
  get(name: string, config: BreakerConfig = {}): Breaker {
    const { text, tagged } = encode(configured(name, config))
    const { context, boundary } = config ?? {}
    const own = Object.keys(config ?? {}).some((key) => key !== 'context' && key !== 'boundary')
    // What was noted belongs to the configuration that held until now.
    if (own) this.#recall((it) => it.name === name && it.context === context && it.boundary === boundary)
    const native = this.#native(text, tagged)
    const known = this.#breakers.get(native.number)
    const hooks = hooksOf(config)
    if (known) {
      if (own) known.setHooks(hooks)
      return known
    }
    const id: BreakerName = {
      name,
      ...(context === undefined ? {} : { context }),
      ...(boundary === undefined ? {} : { boundary }),
    }
    const breaker = new Breaker(id, native, this.#home, this.#all, hooks)
    this.#breakers.set(native.number, breaker)
    return breaker
  }

  /** The breakers that are known here or stored. */
  async list(options?: CallOptions): Promise<BreakerName[]> {
    return (await this.#link.ask('breakers.list', '', options)) as unknown as BreakerName[]
  }

  /** Hears of what happens to any of them; the function that comes back ends that. */
  on<K extends keyof BreakerEvents>(type: K, listener: Listener<BreakerEvents[K]>): () => void {
    this.#recall()
    return this.#all.on(type, listener)
  }

  /** @internal */
  export(): Promise<Json> {
    this.#recall()
    return this.#link.ask('breakers.export', '', undefined)
  }

  /** @internal */
  async import(exported: Json): Promise<number> {
    this.#recall()
    const [taken] = (await this.#link.ask('breakers.import', '', undefined, exported)) as [number]
    this.#recall()
    return taken
  }

  /** @internal What an audit follows. */
  get changes(): ChangeLog | undefined {
    return this.#link.changes
  }

  /** @internal Carries what the store has not heard yet, and goes quiet. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    await this.#syncing
    if (this.#timer !== undefined) await this.#once()
    this.#timer = undefined
  }

  #native(text: string, tagged: boolean): NativeBreaker {
    try {
      return this.#link.breaker(text, tagged)
    } catch (error) {
      const told = error instanceof Error ? error.message : ''
      throw told.startsWith('!') ? errorOf(told, (value) => value) : error
    }
  }

  #stir(): void {
    if (this.#timer !== undefined || this.#closed) return
    this.#timer = setInterval(() => this.#sync(), FRESH_MS)
    this.#timer.unref()
  }

  #sync(): void {
    if (this.#closed) return
    if (this.#syncing !== undefined) {
      this.#again = true
      return
    }
    this.#again = false
    this.#syncing = this.#once().then((active) => {
      this.#syncing = undefined
      if (this.#again) this.#sync()
      else if (active === 0) {
        // Nobody calls: the next one begins with a question to the store.
        clearInterval(this.#timer)
        this.#timer = undefined
      }
    })
  }

  /** How many are in use. A store that does not answer is met again by the next tick. */
  async #once(): Promise<number> {
    try {
      this.#recall()
      const [active] = (await this.#link.ask('breakers.sync', '', undefined)) as [number]
      this.#recall()
      this.#tell()
      return active
    } catch {
      return 1
    }
  }

  /** The engine hears what was noted, and is asked before the next call of each breaker. */
  #recall(which: (breaker: Breaker) => boolean = () => true): void {
    for (const breaker of this.#breakers.values()) if (which(breaker)) breaker.recall()
  }

  #tell(): void {
    const told = JSON.parse(this.#link.told()) as [number, Record<string, unknown>][]
    for (const [number, moved] of told) {
      const breaker = this.#breakers.get(number)
      if (!breaker) continue
      const { name, context, boundary } = breaker
      const id = {
        name,
        ...(context === undefined ? {} : { context }),
        ...(boundary === undefined ? {} : { boundary }),
      }
      breaker.tell(EVENTS[moved.to as BreakerState], transitionEvent(id, moved))
    }
  }
}

/** The configuration as the engine reads it: without the caller's own code. */
function configured(name: string, config: unknown): unknown {
  if (typeof config !== 'object' || config === null || !isPlainObject(config)) return config
  const { isFailure: _, ignore: _1, record: _2, fallback: _3, ...rest } = config as Record<string, unknown>
  const { strategy } = rest
  if (typeof strategy === 'string') rest.strategy = [strategy]
  else if (typeof strategy === 'function') rest.strategy = ['custom']
  const own = Object.keys(rest).some((key) => key !== 'context' && key !== 'boundary')
  return { ...rest, name, ...(own ? { configured: true } : {}) }
}
