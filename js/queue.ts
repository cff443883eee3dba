import { type Calls, numberOf } from './calls.js'
import type { Json } from './generated/records.js'
import type {
  ConsumeOptions,
  DeadLetterOptions,
  ExtendOptions,
  NackOptions,
  PopOptions,
  PushOptions,
  QueueCounts,
  Reserved,
  ReserveOptions,
} from './queue-types.js'
import type { CallOptions } from './types.js'

const PUSH = numberOf('queue.push')
const TAKE = numberOf('queue.take')
const SETTLE = numberOf('queue.ack')
const SETTLE_ALL = numberOf('queue.settle')
const GIVE_BACK = numberOf('queue.nack')
const EXTEND = numberOf('queue.extend')
const COUNT = numberOf('queue.length')
const CLOSE = numberOf('queue.close')
const DEAD = numberOf('queue.deadLetters')
const REQUEUE = numberOf('queue.requeue')
const STRAYS = numberOf('queue.strays')

/** What taking answers. */
type Taken<T> = { lease: string; deliveries: number; data: T } | { closed: true }

const plain = (written: Json): unknown => written
const inList = (written: Json): unknown => (written as readonly Json[])[0]

/** An item that somebody holds. */
class Held<T> implements Reserved<T> {
  readonly data: T
  readonly deliveries: number
  readonly #call: (operation: number, lease: string, options: unknown) => Promise<boolean>
  readonly #lease: string
  #settled = false

  constructor(
    taken: { lease: string; deliveries: number; data: T },
    call: (operation: number, lease: string, options: unknown) => Promise<boolean>,
  ) {
    this.data = taken.data
    this.deliveries = taken.deliveries
    this.#lease = taken.lease
    this.#call = call
  }

  /** Whether it was said what becomes of it. */
  get settled(): boolean {
    return this.#settled
  }

  ack(options?: CallOptions): Promise<boolean> {
    this.#settled = true
    return this.#call(SETTLE, this.#lease, options)
  }

  nack(options?: NackOptions): Promise<boolean> {
    this.#settled = true
    return this.#call(GIVE_BACK, this.#lease, options)
  }

  extend(options?: ExtendOptions): Promise<boolean> {
    return this.#call(EXTEND, this.#lease, options)
  }
}

/**
 * Queues by name: JSON values that are taken in the order in which they were put. On Redis a queue is the plain list
 * `<prefix>queue:<name>`, put at its left end and taken from its right.
 */
export class Queue {
  readonly #calls: Calls
  /** What was popped and the server was not told of yet: leases by queue. */
  readonly #popped = new Map<string, string[]>()
  readonly #telling = new Set<Promise<unknown>>()

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls
  }

  /**
   * The server was told of all that was popped, or could not be.
   *
   * @internal
   */
  async told(): Promise<void> {
    this.#tell()
    while (this.#telling.size > 0) await Promise.all(this.#telling)
  }

  /**
   * Puts an item at the end; gives how many wait now. One round trip. While the server is away the item is kept, unless the queue
   * has a bound, and it gives how many are kept here.
   *
   * @throws CapacityError with `maxLength`, ConflictError when the queue is closed
   */
  push(name: string, data: unknown, options?: PushOptions): Promise<number> {
    return this.#calls.byUser(PUSH, name, data, options, inList, true) as Promise<number>
  }

  /**
   * Takes the first item, or waits for one; `null` when none came in time, or none will come because the queue is closed. One
   * round trip.
   *
   * Aborted or timed out it loses nothing: an item that it took is in the queue again. That an item has come is told to the
   * server at once, in front of whatever is asked next, without waiting for that; `close` waits for it. Whoever is killed
   * before, or loses the server, leaves the item to come back within 30 seconds.
   */
  async pop<T = Json>(name: string, options?: PopOptions): Promise<T | null> {
    const taken = await this.#take<T>(name, options)
    if (taken === null || 'closed' in taken) return null
    // From here on the item is the caller's: no signal takes it away, and where this fails it is delivered again.
    this.#settle(name, taken.lease)
    return taken.data
  }

  /**
   * Takes the first item and holds it, or waits for one; `null` as for `pop`. What is not acknowledged in time comes back
   * to the front; what was taken five times goes to the dead letters then. One round trip.
   */
  async reserve<T = Json>(name: string, options?: ReserveOptions): Promise<Reserved<T> | null> {
    const taken = await this.#take<T>(name, options)
    return taken === null || 'closed' in taken ? null : this.#held(name, taken)
  }

  /**
   * Reads a queue: `for await (const item of storage.queue.consume('jobs'))`. An item is acknowledged when the next one is
   * asked for, unless it was acknowledged or given back before; one that the loop is left with, by an error or by
   * `break`, is given back. It ends when the queue is closed and empty, and throws the signal's reason when that aborts.
   */
  async *consume<T = Json>(name: string, options?: ConsumeOptions): AsyncGenerator<Reserved<T>, void, void> {
    for (;;) {
      const taken = await this.#take<T>(name, options)
      if (taken === null) continue
      if ('closed' in taken) return
      const item = this.#held(name, taken)
      let left = true
      try {
        yield item
        left = false
      } finally {
        if (left && !item.settled) await item.nack().catch(() => false)
      }
      if (!item.settled) await item.ack()
    }
  }

  /** How many items can be taken. One round trip. */
  async length(name: string, options?: CallOptions): Promise<number> {
    return (await this.counts(name, options)).waiting
  }

  /** How many items wait, are held and are dead. One round trip. */
  counts(name: string, options?: CallOptions): Promise<QueueCounts> {
    return this.#calls.byUser(COUNT, name, undefined, options, plain, false) as Promise<QueueCounts>
  }

  /** Nothing more can be put; readers end when the queue is empty, within a second. `false` when it was closed already. */
  close(name: string, options?: CallOptions): Promise<boolean> {
    return this.#calls.byUser(CLOSE, name, true, options, plain, true) as Promise<boolean>
  }

  /** Opens a queue that was closed. `false` when it was not. */
  reopen(name: string, options?: CallOptions): Promise<boolean> {
    return this.#calls.byUser(CLOSE, name, false, options, plain, true) as Promise<boolean>
  }

  /** The dead letters, the oldest first; `null` stands for one that is no JSON. One round trip. */
  deadLetters<T = Json>(name: string, options?: DeadLetterOptions): Promise<(T | null)[]> {
    return this.#calls.byUser(DEAD, name, undefined, options, plain, false) as Promise<(T | null)[]>
  }

  /** Puts the oldest dead letters to the end of the queue, as if they were new; gives their number. One round trip. */
  requeue(name: string, options?: DeadLetterOptions): Promise<number> {
    return this.#calls.byUser(REQUEUE, name, undefined, options, inList, false) as Promise<number>
  }

  /** Lets go of an item that its caller has now: with all that came at the same time, before any of them can ask for more. */
  #settle(name: string, lease: string): void {
    const leases = this.#popped.get(name)
    if (leases !== undefined) leases.push(lease)
    else this.#popped.set(name, [lease])
    if (leases === undefined && this.#popped.size === 1) queueMicrotask(this.#tell)
  }

  readonly #tell = (): void => {
    for (const [name, leases] of this.#popped) {
      const told = this.#calls.byUser(SETTLE_ALL, name, leases, undefined, plain, true).catch(() => false)
      this.#telling.add(told)
      told.finally(() => this.#telling.delete(told))
    }
    this.#popped.clear()
  }

  #lease(name: string, operation: number, lease: string, options: unknown): Promise<boolean> {
    return this.#calls.byUser(operation, name, lease, options, plain, true) as Promise<boolean>
  }

  #held<T>(name: string, taken: { lease: string; deliveries: number; data: T }): Held<T> {
    return new Held(taken, (operation, lease, options) => this.#lease(name, operation, lease, options))
  }

  async #take<T>(name: string, options: unknown): Promise<Taken<T> | null> {
    try {
      const taken = await this.#calls.byUser(TAKE, name, undefined, options, plain, false)
      return taken as Taken<T> | null
    } catch (error) {
      // What was taken for this call, and nobody will hear of, goes back.
      this.#calls.byUser(STRAYS, '', undefined, undefined, inList, false).catch(() => {})
      throw error
    }
  }
}
