import type { Json } from './generated/records.js'
import type { CallOptions } from './types.js'

/** What putting an item takes. */
export interface PushOptions extends CallOptions {
  /** Refused with `CapacityError` when so many items wait already. */
  readonly maxLength?: number
}

/** What taking an item takes. */
export interface PopOptions extends CallOptions {
  /** How long to wait for an item, in seconds; fractions count, 0 does not wait. Absent: until `signal` aborts. */
  readonly timeoutSeconds?: number
}

/** What reserving an item takes. */
export interface ReserveOptions extends PopOptions {
  /** How long the item is held, in seconds; then it comes back. 30 unless given. */
  readonly leaseSeconds?: number
}

/** What reading a queue takes. */
export interface ConsumeOptions extends CallOptions {
  /** How long each item is held, in seconds. 30 unless given. */
  readonly leaseSeconds?: number
}

/** What giving an item back takes. */
export interface NackOptions extends CallOptions {
  /** After how long it can be taken again, in seconds; at once unless given. */
  readonly delaySeconds?: number
}

/** What holding an item longer takes. */
export interface ExtendOptions extends CallOptions {
  /** For how long from now, in seconds. 30 unless given. */
  readonly leaseSeconds?: number
}

/** What looking at dead letters takes. */
export interface DeadLetterOptions extends CallOptions {
  /** At most so many: 1 to 1,000; 100 unless given. */
  readonly limit?: number
}

/** How many items a queue has. */
export interface QueueCounts {
  /** Those that can be taken. */
  readonly waiting: number
  /** Those that somebody holds. */
  readonly leased: number
  /** Those that were taken too often. */
  readonly dead: number
}

/** An item that is held: it is neither gone nor to be had by others until its lease is over. */
export interface Reserved<T = Json> {
  readonly data: T
  /** How often it was taken, this time included. */
  readonly deliveries: number
  /** It is done with: removes it. `false` when its lease was over, so that another may do it as well. */
  ack(options?: CallOptions): Promise<boolean>
  /** Gives it back to the front of the queue. `false` when its lease was over. */
  nack(options?: NackOptions): Promise<boolean>
  /** Holds it longer. `false` when its lease was over. */
  extend(options?: ExtendOptions): Promise<boolean>
}
