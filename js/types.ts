import type { Cache } from './cache.js'
import type { Collection, CollectionShape } from './collection.js'
import type {
  FeedItem,
  Listener,
  ListenOptions,
  Replayed,
  ReplayOptions,
  Snapshot,
  SubscribeQuery,
  WatchOptions,
} from './feed-types.js'
import type {
  Chain,
  ChainData,
  ChainId,
  ChainUpdate,
  CustomEvent,
  Event,
  EventId,
  EventType,
  Json,
  JsonObject,
  Plain,
  Session,
  SessionData,
  SessionId,
  SessionUpdate,
  Step,
  StepData,
  StepId,
  StepUpdate,
  UserId,
} from './generated/records.js'
import type { KeyValues } from './kv.js'
import type {
  ChainsQuery,
  Erased,
  Pruned,
  PruneQuery,
  RecordPage,
  SessionCounts,
  SessionsQuery,
  StepsQuery,
  SweepOptions,
  Swept,
} from './life-types.js'
import type { Notice, NoticeType } from './notices.js'
import type { Queue } from './queue.js'
import type { RequestLog } from './request-log.js'
import type { ServiceView } from './service.js'
import type { Streams } from './streams.js'
import type { Subscription } from './subscription.js'

/**
 * What the caller's own data look like: `openStorage<{ session: MyMeta; result: MyResult }>()`. Interfaces are
 * welcome; whether a value is JSON is checked when it is given.
 */
export interface Typing {
  /** `metadata` of sessions. */
  readonly session?: object
  /** `metadata` of chains. */
  readonly chain?: object
  /** `inputs` of steps. */
  readonly inputs?: object
  /** `result` of steps. */
  readonly result?: unknown
}

type Own<T extends Typing, Key extends 'session' | 'chain' | 'inputs'> = T extends {
  readonly [K in Key]: infer Mine extends object
}
  ? Mine
  : JsonObject

type Result<T extends Typing> = T extends { readonly result: infer Mine } ? Mine : Json

/** What a record says of itself while the server is away. */
export interface Provenance {
  /** It holds a write that is kept here and still to be brought to the server. */
  readonly pending?: true
  /** It was seen earlier, and may have changed since. */
  readonly stale?: true
  /** When a stale record was seen, or later. */
  readonly asOf?: Date
}

/** A storage's `Session`. */
export type SessionOf<T extends Typing> = Session<Own<T, 'session'>> & Provenance
/** A storage's `SessionData`. */
export type SessionDataOf<T extends Typing> = SessionData<Own<T, 'session'>>
/** A storage's `SessionUpdate`. */
export type SessionUpdateOf<T extends Typing> = SessionUpdate<Own<T, 'session'>>
/** A storage's `Chain`. */
export type ChainOf<T extends Typing> = Chain<Own<T, 'chain'>> & Provenance
/** A storage's `ChainData`. */
export type ChainDataOf<T extends Typing> = ChainData<Own<T, 'chain'>>
/** A storage's `ChainUpdate`. */
export type ChainUpdateOf<T extends Typing> = ChainUpdate<Own<T, 'chain'>>
/** A storage's `Step`. */
export type StepOf<T extends Typing> = Step<Own<T, 'inputs'>, Result<T>> & Provenance
/** A storage's `StepData`. */
export type StepDataOf<T extends Typing> = StepData<Own<T, 'inputs'>>
/** A storage's `StepUpdate`. */
export type StepUpdateOf<T extends Typing> = StepUpdate<Own<T, 'inputs'>, Result<T>>

/** What every call takes. */
export interface CallOptions {
  /** Aborted, the call rejects with its reason. What was sent already may still be applied. */
  readonly signal?: AbortSignal
  /** How long to wait, in ms: 1 to 2^31 - 1. 2,000 unless the storage says otherwise. */
  readonly timeoutMs?: number
}

/** What a creation takes. */
export interface CreateOptions extends CallOptions {
  /** 1 to 128 code points. A second creation below the same parent with the same key gives the first record. */
  readonly idempotencyKey?: string
}

/** What the creation of a chain takes. */
export interface CreateChainOptions extends CreateOptions {
  /** `false`: the chain's status does not follow its steps. */
  readonly rollup?: boolean
}

/** What an update takes. */
export interface UpdateOptions extends CallOptions {
  /** Only if the record has this version, else `ConflictError` with the current record. */
  readonly ifVersion?: number
}

/** What an update of a step takes. */
export interface StepUpdateOptions extends UpdateOptions {
  /**
   * For how long the step's worker may be silent, in seconds; fractions count. Only with the status `in_progress`. When it runs out
   * without a `heartbeatStep`, the step fails with the error `lost`.
   */
  readonly leaseSeconds?: number
  /** `'retry'`: a step that was lost goes back to `pending`, as its next attempt, instead of failing. */
  readonly onLost?: 'fail' | 'retry'
  /**
   * The attempt that the caller works on, as the step that it started said. If the step is not in progress in it any more, the update is
   * refused with `STORAGE_TRANSITION`: a late word of a lost worker changes nothing.
   */
  readonly ifAttempt?: number
}

/** What a heartbeat takes. */
export interface HeartbeatOptions extends CallOptions {
  /** The attempt that the caller works on: as for an update. */
  readonly ifAttempt?: number
}

/** What a list takes. */
export interface ListOptions extends CallOptions {
  /** At most so many; all unless given. */
  readonly limit?: number
  /** The order of creation (`asc`, the default) or the other way. */
  readonly order?: 'asc' | 'desc'
}

/** What a list of chains takes. */
export interface ListChainsOptions extends ListOptions {
  /** Archived chains with the others (`include`, the default), left out, or alone. */
  readonly archived?: 'include' | 'exclude' | 'only'
}

/** Which events. */
export interface EventsQuery {
  /** The events of this session: either this or `userId`. */
  readonly sessionId?: SessionId | Plain
  /** The events of all sessions of this user, deleted ones included. */
  readonly userId?: UserId | string
  /** Only later ones: than a date, or than an event of this session. */
  readonly after?: Date | EventId | string
  /** Only earlier ones. */
  readonly before?: Date | EventId | string
  /** Only these types. */
  readonly types?: readonly EventType[]
  /** At most so many: 1 to 1,000; 100 unless given. */
  readonly limit?: number
  /** Where an earlier page ended. */
  readonly cursor?: string
}

/** A page of events, the oldest first. */
export interface EventPage {
  readonly items: Event[]
  /** Stands behind the last event looked at: pass it to go on, now or later. */
  readonly cursor: string
}

/** How a storage is doing. */
export interface Status {
  readonly state: 'healthy' | 'degraded' | 'recovering' | 'closed'
  readonly backend: 'memory' | 'redis'
  /** Open connections to a server. */
  readonly connections: number
  /** Calls that wait for an answer. */
  readonly pending: number
  /** Transactions since the storage was opened. */
  readonly operations: number
  /** Transactions that a check refused: a normal answer. */
  readonly refused: number
  /** Transactions that could not be answered. */
  readonly failed: number
  /** Feeds that are followed now. */
  readonly subscribers: number
  /** How long calls took that had to wait for the server, of late; `null` until one has, and in memory. */
  readonly latency: Latency | null
  /** On Redis: connections of their own for calls that wait for what others do. */
  readonly pool?: { readonly busy: number; readonly free: number; readonly most: number }
  /** With `server: true`: keys of the server's database, whoever they belong to; `null` when it could not be asked. */
  readonly keys?: number | null
  /** With `server: true`: bytes that the server uses; `null` when it could not be asked, or the user may not. */
  readonly memoryBytes?: number | null
  /** What went wrong last, until it is well again; without secrets. */
  readonly lastError: string | null
  /** Inside the resilient stack: the breaker, and when it lets something through again. */
  readonly breaker?: { readonly state: 'closed' | 'open' | 'half_open'; readonly retryAfterMs?: number }
  /** Inside the resilient stack: writes that are kept for later. */
  readonly journal?: { readonly entries: number; readonly bytes: number; readonly failed?: string }
  /** Inside the resilient stack: kept writes that met a change of somebody else, since it was opened. */
  readonly conflicts?: number
}

/** How long calls took: of the last 1,024 that were measured, one at a time. In ms. */
export interface Latency {
  readonly samples: number
  readonly meanMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

/** What looking at the status takes. */
export interface StatusOptions extends CallOptions {
  /** Asks the server for its keys and its memory as well. Without it nobody is asked. */
  readonly server?: boolean
}

/** A function of the current record that gives the update; called again when another writer was faster. */
export type Updater<Current, Update> = (current: Current) => Update | Promise<Update>

/** The interface of every storage, whatever it stands on. */
export interface IStorage<T extends Typing = Typing> {
  createSession(
    userId: UserId | Plain,
    data: SessionDataOf<T>,
    options?: CreateOptions,
  ): Promise<SessionOf<T>>
  getSession(sessionId: SessionId | Plain, options?: CallOptions): Promise<SessionOf<T> | null>
  updateSession(
    sessionId: SessionId | Plain,
    updates: SessionUpdateOf<T> | Updater<SessionOf<T>, SessionUpdateOf<T>>,
    options?: UpdateOptions,
  ): Promise<SessionOf<T>>
  deleteSession(sessionId: SessionId | Plain, options?: CallOptions): Promise<void>
  listSessions(userId: UserId | Plain, options?: ListOptions): Promise<SessionOf<T>[]>
  touchSession(sessionId: SessionId | Plain, options?: CallOptions): Promise<SessionOf<T>>

  createChain(
    sessionId: SessionId | Plain,
    data: ChainDataOf<T>,
    options?: CreateChainOptions,
  ): Promise<ChainOf<T>>
  getChain(chainId: ChainId | Plain, options?: CallOptions): Promise<ChainOf<T> | null>
  updateChain(
    chainId: ChainId | Plain,
    updates: ChainUpdateOf<T> | Updater<ChainOf<T>, ChainUpdateOf<T>>,
    options?: UpdateOptions,
  ): Promise<ChainOf<T>>
  deleteChain(chainId: ChainId | Plain, options?: CallOptions): Promise<void>
  listChains(sessionId: SessionId | Plain, options?: ListChainsOptions): Promise<ChainOf<T>[]>

  createStep(chainId: ChainId | Plain, data: StepDataOf<T>, options?: CreateOptions): Promise<StepOf<T>>
  getStep(stepId: StepId | Plain, options?: CallOptions): Promise<StepOf<T> | null>
  updateStep(
    stepId: StepId | Plain,
    updates: StepUpdateOf<T> | Updater<StepOf<T>, StepUpdateOf<T>>,
    options?: StepUpdateOptions,
  ): Promise<StepOf<T>>
  heartbeatStep(stepId: StepId | Plain, options?: HeartbeatOptions): Promise<StepOf<T>>
  deleteStep(stepId: StepId | Plain, options?: CallOptions): Promise<void>
  listSteps(chainId: ChainId | Plain, options?: ListOptions): Promise<StepOf<T>[]>

  appendEvent(sessionId: SessionId | Plain, event: CustomEvent, options?: CallOptions): Promise<Event>
  events(query: EventsQuery, options?: CallOptions): Promise<EventPage>
  subscribe(query: SubscribeQuery): Subscription<FeedItem>
  watchSession(sessionId: SessionId | Plain, options?: WatchOptions): Subscription<Snapshot<T> | FeedItem>
  on<Type extends EventType | '*'>(type: Type, listener: Listener<Type>, options?: ListenOptions): () => void
  /** Hears of the storage's own life: see `NoticeType`. */
  on<Type extends NoticeType>(type: Type, listener: (notice: Notice<Type>) => void): () => void
  replay(sessionId: SessionId | Plain, options?: ReplayOptions): Promise<Replayed<T>>

  eraseUser(userId: UserId | Plain, options?: CallOptions): Promise<Erased>
  sessionCounts(userId: UserId | Plain, options?: CallOptions): Promise<SessionCounts>
  sweep(options?: SweepOptions): Promise<Swept>
  pruneEvents(query: PruneQuery, options?: CallOptions): Promise<Pruned>
  querySessions<Field extends keyof Session & string = keyof Session & string>(
    query: SessionsQuery<Field>,
    options?: CallOptions,
  ): Promise<RecordPage<Pick<SessionOf<T>, Field | 'sessionId'>>>
  queryChains<Field extends keyof Chain & string = keyof Chain & string>(
    query: ChainsQuery<Field>,
    options?: CallOptions,
  ): Promise<RecordPage<Pick<ChainOf<T>, Field | 'chainId'>>>
  querySteps<Field extends keyof Step & string = keyof Step & string>(
    query: StepsQuery<Field>,
    options?: CallOptions,
  ): Promise<RecordPage<Pick<StepOf<T>, Field | 'stepId'>>>
  waitForTerminal(chainId: ChainId | Plain, options?: CallOptions): Promise<ChainOf<T>>
  service(name: string): ServiceView
  readonly queue: Queue
  readonly streams: Streams
  readonly requestLog: RequestLog
  readonly cache: Cache

  readonly kv: KeyValues
  collection<R extends object>(name: string, shape: CollectionShape<R>): Collection<R>

  status(options?: StatusOptions): Promise<Status>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
