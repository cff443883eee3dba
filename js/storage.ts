import { breakerLink } from './breaker-link.js'
import { Breakers } from './breakers.js'
import { Calls, numberOf } from './calls.js'
import { encode, isPlainObject } from './encode.js'
import { errorOf } from './errors.js'
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
  ChainId,
  CustomEvent,
  Event,
  EventType,
  Plain,
  SessionId,
  StepId,
  UserId,
} from './generated/records.js'
import type { KeyValues } from './kv.js'
import { LifeBase, sweepInBackground, sweepMsOf } from './life.js'
import { listen } from './listen.js'
import { NativeStorage } from './native-binding.js'
import { type Notice, Notices, type NoticeType } from './notices.js'
import { anyRecord, chain, event, listOf, page, type Revive, session, step, tree } from './records.js'
import { toJsonSchema } from './schemas.js'
import { Carrier } from './socket.js'
import { type Subscription, subscribe, watch } from './subscription.js'
import type {
  CallOptions,
  ChainDataOf,
  ChainOf,
  ChainUpdateOf,
  CreateChainOptions,
  CreateOptions,
  EventPage,
  EventsQuery,
  HeartbeatOptions,
  IStorage,
  ListChainsOptions,
  ListOptions,
  SessionDataOf,
  SessionOf,
  SessionUpdateOf,
  Status,
  StatusOptions,
  StepDataOf,
  StepOf,
  StepUpdateOf,
  StepUpdateOptions,
  Typing,
  UpdateOptions,
  Updater,
} from './types.js'
import { updateBy } from './updates.js'

const CREATE_SESSION = numberOf('createSession')
const GET_SESSION = numberOf('getSession')
const UPDATE_SESSION = numberOf('updateSession')
const DELETE_SESSION = numberOf('deleteSession')
const LIST_SESSIONS = numberOf('listSessions')
const TOUCH_SESSION = numberOf('touchSession')
const CREATE_CHAIN = numberOf('createChain')
const GET_CHAIN = numberOf('getChain')
const UPDATE_CHAIN = numberOf('updateChain')
const DELETE_CHAIN = numberOf('deleteChain')
const LIST_CHAINS = numberOf('listChains')
const CREATE_STEP = numberOf('createStep')
const GET_STEP = numberOf('getStep')
const UPDATE_STEP = numberOf('updateStep')
const HEARTBEAT_STEP = numberOf('heartbeatStep')
const DELETE_STEP = numberOf('deleteStep')
const LIST_STEPS = numberOf('listSteps')
const APPEND_EVENT = numberOf('appendEvent')
const EVENTS = numberOf('events')
const SUBSCRIBE = numberOf('subscribe')
const WATCH_SESSION = numberOf('watchSession')
const REPLAY = numberOf('replay')

const SESSIONS = listOf(session)
const CHAINS = listOf(chain)
const STEPS = listOf(step)

/** The engine's settings, as texts: the options, `limits`, `schemas`. `fixed` are options that the class decides. */
function settingsOf(options: unknown, fixed: object): { texts: string[]; tagged: boolean } {
  if (typeof options !== 'object' || options === null || !isPlainObject(options)) {
    const { text, tagged } = encode(options)
    return { texts: [text], tagged }
  }
  const { limits, schemas, logger: _, ...rest } = options as Record<string, unknown>
  const { text, tagged } = encode({ ...rest, ...fixed })
  const guards = schemas === undefined ? '' : textOfSchemas(schemas)
  return { texts: [text, limits === undefined ? '' : encode(limits).text, guards], tagged }
}

function guardsOf(schemas: object): string {
  const texts = Object.entries(schemas)
    .filter(([, schema]) => schema !== undefined)
    .map(([name, schema]) => `${JSON.stringify(name)}:${guardOf(schema)}`)
  return `{${texts.join(',')}}`
}

/** The text of what should be schemas. What can't even be looked at is told as no object at all. */
function textOfSchemas(schemas: unknown): string {
  try {
    if (typeof schemas === 'object' && schemas !== null && isPlainObject(schemas)) return guardsOf(schemas)
  } catch {
    return '""'
  }
  return encode(schemas).text
}

/** What is no schema is told as the empty text, which the engine refuses by its name. */
function guardOf(schema: unknown): string {
  try {
    return toJsonSchema(schema)
  } catch {
    return '""'
  }
}

/** The environment that chooses a backend where the options do not. */
export interface Environment {
  readonly nodeEnv: string
  readonly redisUrl: string
}

function open(options: unknown, fixed: object, environment: Environment | undefined): NativeStorage {
  try {
    const { texts, tagged } = settingsOf(options, fixed)
    const variables = environment ? [environment.nodeEnv, environment.redisUrl] : []
    return new NativeStorage(texts, tagged, variables)
  } catch (error) {
    const text = error instanceof Error ? error.message : ''
    throw text.startsWith('!') ? errorOf(text, anyRecord) : error
  }
}

async function seenOfServer(kv: KeyValues, options: CallOptions): Promise<Partial<Status>> {
  const [keys, memoryBytes] = await Promise.all([
    kv.dbSize(options).catch(() => null),
    kv.info(options).then(
      ({ used_memory }) => (used_memory === undefined ? null : Number(used_memory)),
      () => null,
    ),
  ])
  return { keys, memoryBytes }
}

/** What every storage is: the face of one engine. */
export abstract class StorageBase<T extends Typing = Typing> extends LifeBase<T> implements IStorage<T> {
  readonly #native: NativeStorage
  readonly #carrier: Carrier
  readonly #calls: Calls
  #breakers: Breakers | undefined
  readonly #endSweeping: () => void

  /** @internal */
  protected constructor(options: unknown, fixed: object, environment?: Environment) {
    const native = open(options, fixed, environment)
    const notices = Notices.of(options, environment && console)
    const carrier = new Carrier(native, (news) => notices.tell(news))
    const calls = new Calls(native, carrier)
    super(calls, native, notices)
    this.#native = native
    this.#carrier = carrier
    this.#calls = calls
    const isUsed = () => (JSON.parse(native.status()) as Status).operations > 0
    this.#endSweeping = sweepInBackground(this, isUsed, sweepMsOf(options))
  }

  /** The circuit breakers of this storage: shared by all processes on its Redis; in memory, this process' own. */
  get breakers(): Breakers {
    this.#breakers ??= new Breakers(breakerLink(this.#native, this.#calls))
    return this.#breakers
  }

  /** Creates a session of a user. One round trip; the record, its place in the user's list and its event are one step. */
  createSession(
    userId: UserId | string,
    data: SessionDataOf<T>,
    options?: CreateOptions,
  ): Promise<SessionOf<T>> {
    return this.#calls.byUser(CREATE_SESSION, userId, data, options, session, true) as Promise<SessionOf<T>>
  }

  /** The session, or `null` when there is none. A failure to look is an error, never `null`. */
  getSession(sessionId: SessionId | Plain, options?: CallOptions): Promise<SessionOf<T> | null> {
    return this.#calls.get(GET_SESSION, sessionId, options, session) as Promise<SessionOf<T> | null>
  }

  /** Merges an update into a session, field by field. Two updates of different fields both survive. */
  updateSession(
    sessionId: SessionId | Plain,
    updates: SessionUpdateOf<T> | Updater<SessionOf<T>, SessionUpdateOf<T>>,
    options?: UpdateOptions,
  ): Promise<SessionOf<T>> {
    return this.#update(UPDATE_SESSION, GET_SESSION, sessionId, updates, options, session) as Promise<
      SessionOf<T>
    >
  }

  /** Deletes a session and everything below it. One that does not exist is no error. */
  deleteSession(sessionId: SessionId | Plain, options?: CallOptions): Promise<void> {
    return this.#calls.byId(DELETE_SESSION, sessionId, undefined, options, session, false) as Promise<void>
  }

  /** A user's sessions in the order of their creation; empty when there are none. */
  listSessions(userId: UserId | Plain, options?: ListOptions): Promise<SessionOf<T>[]> {
    return this.#calls.listByUser(LIST_SESSIONS, userId, options, SESSIONS) as Promise<SessionOf<T>[]>
  }

  /** Moves the deadline of a session's tree forward; changes nothing else. */
  touchSession(sessionId: SessionId | Plain, options?: CallOptions): Promise<SessionOf<T>> {
    return this.#calls.byId(TOUCH_SESSION, sessionId, undefined, options, session, false) as Promise<
      SessionOf<T>
    >
  }

  /** Creates a chain in a session. */
  createChain(
    sessionId: SessionId | Plain,
    data: ChainDataOf<T>,
    options?: CreateChainOptions,
  ): Promise<ChainOf<T>> {
    return this.#calls.byId(CREATE_CHAIN, sessionId, data, options, chain, true) as Promise<ChainOf<T>>
  }

  /** The chain, or `null` when there is none. */
  getChain(chainId: ChainId | Plain, options?: CallOptions): Promise<ChainOf<T> | null> {
    return this.#calls.get(GET_CHAIN, chainId, options, chain) as Promise<ChainOf<T> | null>
  }

  /** Merges an update into a chain, field by field. */
  updateChain(
    chainId: ChainId | Plain,
    updates: ChainUpdateOf<T> | Updater<ChainOf<T>, ChainUpdateOf<T>>,
    options?: UpdateOptions,
  ): Promise<ChainOf<T>> {
    return this.#update(UPDATE_CHAIN, GET_CHAIN, chainId, updates, options, chain) as Promise<ChainOf<T>>
  }

  /** Deletes a chain and its steps. One that does not exist is no error. */
  deleteChain(chainId: ChainId | Plain, options?: CallOptions): Promise<void> {
    return this.#calls.byId(DELETE_CHAIN, chainId, undefined, options, chain, false) as Promise<void>
  }

  /** A session's chains in the order of their creation. */
  listChains(sessionId: SessionId | Plain, options?: ListChainsOptions): Promise<ChainOf<T>[]> {
    return this.#calls.list(LIST_CHAINS, sessionId, options, CHAINS) as Promise<ChainOf<T>[]>
  }

  /** Creates a step at the end of a chain; the chain's counts and order change in the same step. */
  createStep(chainId: ChainId | Plain, data: StepDataOf<T>, options?: CreateOptions): Promise<StepOf<T>> {
    return this.#calls.byId(CREATE_STEP, chainId, data, options, step, true) as Promise<StepOf<T>>
  }

  /** The step, or `null` when there is none. */
  getStep(stepId: StepId | Plain, options?: CallOptions): Promise<StepOf<T> | null> {
    return this.#calls.get(GET_STEP, stepId, options, step) as Promise<StepOf<T> | null>
  }

  /** Merges an update into a step, field by field, and rolls it up into its chain in the same step. */
  updateStep(
    stepId: StepId | Plain,
    updates: StepUpdateOf<T> | Updater<StepOf<T>, StepUpdateOf<T>>,
    options?: StepUpdateOptions,
  ): Promise<StepOf<T>> {
    return this.#update(UPDATE_STEP, GET_STEP, stepId, updates, options, step) as Promise<StepOf<T>>
  }

  /**
   * Draws out the lease of a step that is in progress, for as long again from now on. Refused with `STORAGE_TRANSITION`
   * once the step is in progress under a lease no more: its worker has to stop.
   */
  heartbeatStep(stepId: StepId | Plain, options?: HeartbeatOptions): Promise<StepOf<T>> {
    return this.#calls.byId(HEARTBEAT_STEP, stepId, undefined, options, step, false) as Promise<StepOf<T>>
  }

  /** Deletes a step; its number is not given again. One that does not exist is no error. */
  deleteStep(stepId: StepId | Plain, options?: CallOptions): Promise<void> {
    return this.#calls.byId(DELETE_STEP, stepId, undefined, options, step, false) as Promise<void>
  }

  /** A chain's steps by their number. */
  listSteps(chainId: ChainId | Plain, options?: ListOptions): Promise<StepOf<T>[]> {
    return this.#calls.list(LIST_STEPS, chainId, options, STEPS) as Promise<StepOf<T>[]>
  }

  /** Appends an event of the caller's own, `custom:<name>`, to a session's log and its user's feed. */
  appendEvent(sessionId: SessionId | Plain, custom: CustomEvent, options?: CallOptions): Promise<Event> {
    return this.#calls.byId(APPEND_EVENT, sessionId, custom, options, event, true) as Promise<Event>
  }

  /** A page of the events of a session or of a user, the oldest first. */
  events(query: EventsQuery, options?: CallOptions): Promise<EventPage> {
    return this.#calls.byId(EVENTS, '', query, options, page, true) as Promise<EventPage>
  }

  /**
   * Follows the events of a session or of a user: everything behind a place, in order, without a hole or a duplicate,
   * across dropped connections and restarts. Ends when the session is gone; a trimmed range is one item `gap`.
   */
  subscribe(query: SubscribeQuery): Subscription<FeedItem> {
    return subscribe({ calls: this.#calls, operation: SUBSCRIBE }, query)
  }

  /** A session's tree as it stands at one moment, then exactly the events that follow. */
  watchSession(sessionId: SessionId | Plain, options?: WatchOptions): Subscription<Snapshot<T> | FeedItem> {
    const watching = { calls: this.#calls, operation: SUBSCRIBE, snapshot: WATCH_SESSION }
    return watch(watching, sessionId, options)
  }

  /** Hears of the storage's own life: see `NoticeType`. */
  override on<Type extends NoticeType>(type: Type, listener: (notice: Notice<Type>) => void): () => void
  /**
   * Calls a function for each event of a type from now on, `'*'` for all, of one session, of one user or of all users: a
   * thin view of `subscribe`. Gives the function that ends it.
   */
  override on<Type extends EventType | '*'>(
    type: Type,
    listener: Listener<Type>,
    options?: ListenOptions,
  ): () => void
  override on(type: string, listener: (item: never) => unknown, options?: ListenOptions): () => void {
    const isEvent = type === '*' || String(type).includes(':')
    if (!isEvent) return super.on(type as NoticeType, listener as (notice: Notice) => void)
    return listen((query) => this.subscribe(query), type, listener, options)
  }

  /**
   * A session's tree as it was behind an event or at a time, rebuilt from its log; without `at` as it is now. Rejects with
   * `UnsupportedError` when the beginning of the log was trimmed.
   */
  replay(sessionId: SessionId | Plain, options?: ReplayOptions): Promise<Replayed<T>> {
    return this.#calls.byId(REPLAY, sessionId, undefined, options, tree, false) as Promise<Replayed<T>>
  }

  /** How the storage is doing. It asks no server, unless `server` says so: then two round trips, and it never rejects. */
  async status({ server, ...options }: StatusOptions = {}): Promise<Status> {
    const seen = server ? await seenOfServer(this.kv, options) : {}
    return Object.freeze({ ...(JSON.parse(this.#native.status()) as Status), ...seen })
  }

  /** Closes the storage: calls under way and all later ones reject with `ClosedError`. Closing again is no error. */
  async close(): Promise<void> {
    this.#endSweeping()
    await Promise.all([this.#breakers?.close(), this.settled()])
    this.#carrier.close()
    this.#calls.close()
  }

  /** `await using storage = ...` closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #update(
    update: number,
    get: number,
    id: unknown,
    updates: unknown,
    options: unknown,
    revive: Revive,
  ): Promise<unknown> {
    if (typeof updates !== 'function') return this.#calls.byId(update, id, updates, options, revive, true)
    const write = (data: object, how: unknown) => this.#calls.byId(update, id, data, how, revive, true)
    const read = (how: CallOptions) => this.#calls.get(get, id, how, revive)
    return updateBy(
      read,
      write,
      updates as Updater<object, object>,
      options as UpdateOptions | undefined,
      this.#native.timeoutMs,
    )
  }
}
