import { Calls, numberOf } from './calls.js'
import { encode, isPlainObject } from './encode.js'
import { ConflictError, errorOf, TimeoutError } from './errors.js'
import type { ChainId, CustomEvent, Event, Plain, SessionId, StepId, UserId } from './generated/records.js'
import { NativeStorage } from './native-binding.js'
import { anyRecord, chain, event, listOf, page, type Revive, session, step } from './records.js'
import { toJsonSchema } from './schemas.js'
import { Carrier } from './socket.js'
import type {
  CallOptions,
  ChainDataOf,
  ChainOf,
  ChainUpdateOf,
  CreateChainOptions,
  CreateOptions,
  EventPage,
  EventsQuery,
  IStorage,
  ListOptions,
  SessionDataOf,
  SessionOf,
  SessionUpdateOf,
  Status,
  StepDataOf,
  StepOf,
  StepUpdateOf,
  Typing,
  UpdateOptions,
  Updater,
} from './types.js'

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
const DELETE_STEP = numberOf('deleteStep')
const LIST_STEPS = numberOf('listSteps')
const APPEND_EVENT = numberOf('appendEvent')
const EVENTS = numberOf('events')

const SESSIONS = listOf(session)
const CHAINS = listOf(chain)
const STEPS = listOf(step)

/** How often a function of the current record is called for one update, at the most. */
const UPDATER_CALLS = 100

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

function late(operation: string): TimeoutError {
  const message = 'the deadline passed before the update was made'
  const facts = { operation, message, retryable: true, attempts: 1, outcome: 'not-applied' } as const
  return new TimeoutError({ code: 'STORAGE_TIMEOUT', ...facts })
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

/** What every storage is: the face of one engine. */
export abstract class StorageBase<T extends Typing = Typing> implements IStorage<T> {
  readonly #native: NativeStorage
  readonly #carrier: Carrier | undefined
  readonly #calls: Calls

  /** @internal */
  protected constructor(options: unknown, fixed: object, environment?: Environment) {
    this.#native = open(options, fixed, environment)
    this.#carrier = this.#native.address.length > 0 ? new Carrier(this.#native) : undefined
    this.#calls = new Calls(this.#native, this.#carrier)
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
    return this.#calls.byUser(LIST_SESSIONS, userId, undefined, options, SESSIONS, false) as Promise<
      SessionOf<T>[]
    >
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
  listChains(sessionId: SessionId | Plain, options?: ListOptions): Promise<ChainOf<T>[]> {
    return this.#calls.byId(LIST_CHAINS, sessionId, undefined, options, CHAINS, false) as Promise<
      ChainOf<T>[]
    >
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
    options?: UpdateOptions,
  ): Promise<StepOf<T>> {
    return this.#update(UPDATE_STEP, GET_STEP, stepId, updates, options, step) as Promise<StepOf<T>>
  }

  /** Deletes a step; its number is not given again. One that does not exist is no error. */
  deleteStep(stepId: StepId | Plain, options?: CallOptions): Promise<void> {
    return this.#calls.byId(DELETE_STEP, stepId, undefined, options, step, false) as Promise<void>
  }

  /** A chain's steps by their number. */
  listSteps(chainId: ChainId | Plain, options?: ListOptions): Promise<StepOf<T>[]> {
    return this.#calls.byId(LIST_STEPS, chainId, undefined, options, STEPS, false) as Promise<StepOf<T>[]>
  }

  /** Appends an event of the caller's own, `custom:<name>`, to a session's log and its user's feed. */
  appendEvent(sessionId: SessionId | Plain, custom: CustomEvent, options?: CallOptions): Promise<Event> {
    return this.#calls.byId(APPEND_EVENT, sessionId, custom, options, event, true) as Promise<Event>
  }

  /** A page of the events of a session or of a user, the oldest first. */
  events(query: EventsQuery, options?: CallOptions): Promise<EventPage> {
    return this.#calls.byId(EVENTS, '', query, options, page, true) as Promise<EventPage>
  }

  /** How the storage is doing. It asks no server. */
  status(): Promise<Status> {
    return Promise.resolve(Object.freeze(JSON.parse(this.#native.status())) as Status)
  }

  /** Closes the storage: calls under way and all later ones reject with `ClosedError`. Closing again is no error. */
  close(): Promise<void> {
    if (this.#carrier) this.#carrier.close()
    else this.#native.close()
    return Promise.resolve()
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

/** What the function gives, unless it takes longer than the call may. */
async function inTime(
  updater: Updater<object, object>,
  current: object,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<object> {
  const updates = updater(current)
  if (!isThenable(updates)) return updates
  let end = (): void => {}
  const ended = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(late('update')), Math.max(1, deadline - Date.now()))
    const abort = () => reject(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
  })
  try {
    return await Promise.race([updates, ended])
  } finally {
    end()
  }
}

function isThenable(value: unknown): value is PromiseLike<object> {
  try {
    return typeof (value as { then?: unknown } | null)?.then === 'function'
  } catch {
    return false
  }
}

/** Reads, asks the function, writes if the record is still the one that it saw; again if not. */
async function updateBy(
  read: (options: CallOptions) => Promise<unknown>,
  write: (data: object, options: unknown) => Promise<unknown>,
  updater: Updater<object, object>,
  options: UpdateOptions | undefined,
  timeoutMs: number,
): Promise<unknown> {
  const deadline = Date.now() + (options?.timeoutMs ?? timeoutMs)
  // Judges the options, and finds a record that does not exist, as any update would.
  await write({}, options)
  const { ifVersion, ...rest } = options ?? {}
  let current = (await read(rest)) as { version: number } | null
  for (let called = 1; current; called++) {
    const updates = await inTime(updater, current, deadline, rest.signal)
    try {
      return await write(updates, { ...rest, ifVersion: ifVersion ?? current.version })
    } catch (error) {
      const lost = error instanceof ConflictError && error.code === 'STORAGE_CONFLICT'
      if (!lost || ifVersion !== undefined || called === UPDATER_CALLS) throw error
      if (Date.now() > deadline) throw late(error.operation)
      current = error.current as { version: number }
    }
  }
  return write({}, options)
}
