import type { CallOptions } from './types.js'
import type { Value } from './values.js'

/** The fields of an entry: texts, or bytes where a value is no text. */
export type StreamFields = Readonly<Record<string, Value>>

/** An entry of a stream. */
export interface StreamEntry<F extends StreamFields = Readonly<Record<string, string>>> {
  /** Its place: `<milliseconds>-<number>`, the server's time unless it was given one. */
  readonly id: string
  readonly fields: F
}

/** What adding an entry takes. */
export interface StreamAddOptions extends CallOptions {
  /** An id of your own, behind the latest one. The server makes one unless given. */
  readonly id?: string
  /** The stream keeps about so many of its last entries, never fewer. */
  readonly maxLength?: number
}

/** How entries are read. */
export interface StreamValueOptions extends CallOptions {
  /** All values as bytes. Without it only those that are no text come as bytes. */
  readonly bytes?: boolean
}

/** What reading takes. */
export interface StreamReadOptions extends StreamValueOptions {
  /** Behind which id: `'start'` unless given, `'end'` for what comes later. */
  readonly after?: string
  /** At most so many entries: 1 to 1,000; 100 unless given. */
  readonly limit?: number
  /** Waits for an entry where there is none, on a connection of its own: for `timeoutSeconds`, or until `signal` aborts. */
  readonly block?: boolean
  /** How long to wait, in seconds; fractions count, 0 does not wait. */
  readonly timeoutSeconds?: number
}

/** What reading for a group takes. */
export type StreamReadGroupOptions = Omit<StreamReadOptions, 'after'>

/** What making a group takes. */
export interface CreateGroupOptions extends CallOptions {
  /** Behind which id it begins: `'end'` unless given, `'start'` for everything that is there. */
  readonly after?: string
}

/** What asking for pending entries takes. */
export interface StreamPendingOptions extends CallOptions {
  /** Only those of this consumer. */
  readonly consumer?: string
  /** Only those that were given so long ago, in seconds. */
  readonly idleSeconds?: number
  /** Behind which id. */
  readonly after?: string
  /** At most so many: 1 to 1,000; 100 unless given. */
  readonly limit?: number
}

/** What taking entries over takes. */
export interface StreamClaimOptions extends StreamValueOptions {
  /** Only those that were given so long ago, in seconds. */
  readonly idleSeconds?: number
}

/** What asking for dead letters takes. */
export interface StreamDeadOptions extends StreamValueOptions {
  /** Behind which id. */
  readonly after?: string
  /** At most so many: 1 to 1,000; 100 unless given. */
  readonly limit?: number
}

/** What consuming takes. */
export interface StreamConsumeOptions extends StreamValueOptions {
  /** The consumer's name; one that nobody else has unless given. */
  readonly consumer?: string
  /**
   * What was not acknowledged so long after it was given to somebody is given to the next, in seconds: longer than a
   * message takes. 60 unless given.
   */
  readonly claimAfterSeconds?: number
  /** Consumers that have nothing pending and were not seen so long are forgotten. 300 unless given. */
  readonly forgetAfterSeconds?: number
  /** A message that was given so often and is given up once more is a dead letter. 5 unless given. */
  readonly maxDeliveries?: number
}

/** What consuming by a function takes. */
export interface StreamHandlerOptions<F extends StreamFields> extends StreamConsumeOptions {
  /** So many messages at once; 1 unless given. */
  readonly concurrency?: number
  /** Told of what the function threw, and of an acknowledgement that failed: the message comes again. */
  readonly onError?: (error: unknown, message: StreamMessage<F>) => void
}

/** An entry that a consumer is to do. */
export interface StreamMessage<F extends StreamFields = Readonly<Record<string, string>>>
  extends StreamEntry<F> {
  /** How often it was given to somebody, this time included. */
  readonly deliveries: number
  /** It is done with. `false` when somebody else said so before. */
  ack(options?: CallOptions): Promise<boolean>
}

/** A group of consumers. */
export interface StreamGroup {
  readonly name: string
  /** Entries that were given and not acknowledged. */
  readonly pending: number
  /** The last id that was given to a consumer. */
  readonly delivered: string
}

/** An entry that was given and not acknowledged. */
export interface StreamPending {
  readonly id: string
  readonly consumer: string
  readonly idleMs: number
  readonly deliveries: number
}

/** A message that was given too often. */
export interface StreamDeadLetter<F extends StreamFields = Readonly<Record<string, string>>>
  extends StreamEntry<F> {
  readonly group: string
  /** The id that it had in the stream. */
  readonly of: string
  readonly deliveries: number
}
