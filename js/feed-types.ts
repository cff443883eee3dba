import type { Event, EventId, EventType, Plain, SessionId, UserId } from './generated/records.js'
import type { CallOptions, ChainOf, SessionOf, StepOf, Typing } from './types.js'

/** What a subscription follows: give one of `sessionId`, `userId` and `all`. */
export interface SubscribeQuery {
  readonly sessionId?: SessionId | Plain
  readonly userId?: UserId | Plain
  /** Everything of every user; needs a storage that was opened with `feedOfAll: true`. */
  readonly all?: boolean
  /**
   * What comes later than this: a time, the id of an event (with `sessionId`), or a cursor of `events()` or of an earlier
   * subscription. `'now'`: only what is appended from now on. Without it the oldest event that is kept comes first.
   */
  readonly after?: Date | EventId | 'now' | Plain
  /** Only these types; gaps come in any case. */
  readonly types?: readonly EventType[]
  /** Aborted, the iteration rejects with its reason. */
  readonly signal?: AbortSignal
  /** `false`: waiting for an event does not keep the process alive. */
  readonly keepAlive?: boolean
}

/** How `watchSession` is to behave. */
export interface WatchOptions {
  readonly types?: readonly EventType[]
  readonly signal?: AbortSignal
  readonly keepAlive?: boolean
}

/** A range of a session's log that was trimmed before it could be read. */
export interface LogGap {
  readonly type: 'gap'
  readonly sessionId: SessionId
  /** The first event that is gone. */
  readonly from: EventId
  /** The last event that is gone. */
  readonly to: EventId
  readonly count: number
}

/** What was appended to a feed between two times, neither included, may be gone. */
export interface FeedGap {
  readonly type: 'gap'
  readonly from: Date
  readonly to: Date
}

/** What a subscription gives. */
export type FeedItem = Event | LogGap | FeedGap

/** A session's tree as it stood at one moment: what `watchSession` gives first. */
export interface Snapshot<T extends Typing = Typing> {
  readonly type: 'snapshot'
  readonly session: SessionOf<T>
  /** In the order of their creation. */
  readonly chains: readonly ChainOf<T>[]
  /** Chain by chain, in the order of their creation. */
  readonly steps: readonly StepOf<T>[]
}

/** What `replay` takes. */
export interface ReplayOptions extends CallOptions {
  /** Behind this event, or as far as the events of this time and before had come. */
  readonly at?: Date | EventId | Plain
}

/** A session's tree as it was: see `replay`. */
export interface Replayed<T extends Typing = Typing> {
  /** `null` before the session's first event. */
  readonly session: SessionOf<T> | null
  readonly chains: readonly ChainOf<T>[]
  readonly steps: readonly StepOf<T>[]
}

/** Which events a listener hears. Without `sessionId` and `userId` those of all users. */
export interface ListenOptions {
  readonly sessionId?: SessionId | Plain
  readonly userId?: UserId | Plain
  readonly signal?: AbortSignal
  /** `true`: listening alone keeps the process alive. */
  readonly keepAlive?: boolean
  /** Told when listening ends by an error. Without it the error becomes a warning of the process. */
  readonly onError?: (error: unknown) => void
}

/** Hears events of a type; a promise that it gives is awaited before the next one. */
export type Listener<Type extends EventType | '*'> = (item: Type extends '*' ? FeedItem : Event) => unknown
