import type { NativeStorage } from '../native.js'
import { type Calls, numberOf } from './calls.js'
import type { Chain, ChainId, Json, Plain, Session, Step, UserId } from './generated/records.js'
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
import type { Notices } from './notices.js'
import { PlainBase } from './plain.js'
import { chain } from './records.js'
import type { CallOptions, ChainOf, SessionOf, StepOf, Typing } from './types.js'
import { untilTerminal } from './wait.js'

const ERASE_USER = numberOf('eraseUser')
const SESSION_COUNTS = numberOf('sessionCounts')
const SWEEP = numberOf('sweep')
const PRUNE_EVENTS = numberOf('pruneEvents')
const QUERY_SESSIONS = numberOf('querySessions')
const QUERY_CHAINS = numberOf('queryChains')
const QUERY_STEPS = numberOf('querySteps')
const GET_CHAIN = numberOf('getChain')

/** How often a storage has what is due done, in seconds. */
const USUAL_SWEEP_SECONDS = 1
/** Partitions that one round of the background looks through: all of them in half a minute. */
const PARTITIONS_A_ROUND = 32
/** The longest time that a timer can count, in ms. */
const LONGEST_TIMER_MS = 2_147_483_647

const DATES = ['createdAt', 'updatedAt', 'expiresAt', 'startedAt', 'completedAt', 'archivedAt'] as const
const NESTED = ['tags', 'metadata', 'stepOrder', 'stepCounts', 'inputs', 'waitsFor', 'result'] as const

function freezeDeep(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  for (const inner of Object.values(value)) freezeDeep(inner)
  Object.freeze(value)
}

/** A record, or those fields of it that were asked for. */
function part(written: Json): unknown {
  const record = written as Record<string, unknown>
  for (const name of DATES) {
    const date = record[name]
    if (date !== undefined && date !== null) record[name] = new Date(date as number | string)
  }
  for (const name of NESTED) freezeDeep(record[name])
  return Object.freeze(record)
}

function recordPage(written: Json): unknown {
  const { items, cursor } = written as { items: Json[]; cursor: string | null }
  return { items: items.map(part), cursor }
}

const plain = (written: Json): unknown => Object.freeze(written)

/** The interval in ms that a storage's options ask for; 0 is never. */
export function sweepMsOf(options: unknown): number {
  const { sweepSeconds } = (options ?? {}) as { sweepSeconds?: number }
  return Math.min(Math.ceil((sweepSeconds ?? USUAL_SWEEP_SECONDS) * 1_000), LONGEST_TIMER_MS)
}

/**
 * Has what is due done, round after round, until the function that it gives is called. It keeps neither the
 * process nor the storage alive, and a storage that was not used yet does not connect for it. A round that fails is
 * made up for by the next.
 */
export function sweepInBackground(
  storage: Pick<LifeBase, 'sweep'>,
  isUsed: () => boolean,
  everyMs: number,
): () => void {
  if (everyMs === 0) return () => {}
  const weak = new WeakRef(storage)
  let timer: NodeJS.Timeout | undefined
  let over = false
  const round = async (): Promise<void> => {
    const swept = weak.deref()
    if (!swept) return
    if (isUsed()) await swept.sweep({ partitions: PARTITIONS_A_ROUND }).catch(() => {})
    if (!over) again()
  }
  const again = (): void => {
    timer = setTimeout(round, everyMs).unref()
  }
  again()
  return () => {
    over = true
    clearTimeout(timer)
  }
}

/** The part of a storage that looks after what lives and ends. */
export abstract class LifeBase<T extends Typing = Typing> extends PlainBase {
  readonly #calls: Calls

  /** @internal */
  protected constructor(calls: Calls, native: NativeStorage, notices: Notices) {
    super(calls, native, notices)
    this.#calls = calls
  }

  /**
   * Removes everything of a user: sessions, chains, steps, logs, archives, the feed, idempotency keys. It works in
   * bounded batches; a call that ends early, by its deadline for one, has erased a part, and another one goes on.
   */
  eraseUser(userId: UserId | Plain, options?: CallOptions): Promise<Erased> {
    return this.#calls.byUser(ERASE_USER, userId, undefined, options, plain, false) as Promise<Erased>
  }

  /** How many sessions a user has in each state: one round trip, whatever their number. */
  sessionCounts(userId: UserId | Plain, options?: CallOptions): Promise<SessionCounts> {
    return this.#calls.byUser(
      SESSION_COUNTS,
      userId,
      undefined,
      options,
      plain,
      false,
    ) as Promise<SessionCounts>
  }

  /**
   * Does what is due now: notes the end of expired sessions, ends leases that have run out, archives chains whose time has come, and
   * makes archived ones small. A storage does so by itself, a part every second; any number of them may, each thing is done once.
   */
  sweep(options?: SweepOptions): Promise<Swept> {
    return this.#calls.byId(SWEEP, '', undefined, options, plain, false) as Promise<Swept>
  }

  /**
   * Drops events from before a time, of the logs of sessions and of the feeds of their users. A session in which a chain is not at its end
   * keeps its whole log, since a replay needs it. It looks at so many sessions a second, until `limit` or the call's deadline is reached:
   * the cursor says where another call goes on.
   */
  pruneEvents(query: PruneQuery, options?: CallOptions): Promise<Pruned> {
    return this.#calls.byId(PRUNE_EVENTS, '', query, options, plain, true) as Promise<Pruned>
  }

  /** A page of a user's sessions. What a state leaves out costs nothing; what a tag leaves out is passed over. */
  querySessions<Field extends keyof Session & string = keyof Session & string>(
    query: SessionsQuery<Field>,
    options?: CallOptions,
  ): Promise<RecordPage<Pick<SessionOf<T>, Field | 'sessionId'>>> {
    return this.#query(QUERY_SESSIONS, query, options) as Promise<
      RecordPage<Pick<SessionOf<T>, Field | 'sessionId'>>
    >
  }

  /** A page of a session's chains. */
  queryChains<Field extends keyof Chain & string = keyof Chain & string>(
    query: ChainsQuery<Field>,
    options?: CallOptions,
  ): Promise<RecordPage<Pick<ChainOf<T>, Field | 'chainId'>>> {
    return this.#query(QUERY_CHAINS, query, options) as Promise<
      RecordPage<Pick<ChainOf<T>, Field | 'chainId'>>
    >
  }

  /** A page of a chain's steps. */
  querySteps<Field extends keyof Step & string = keyof Step & string>(
    query: StepsQuery<Field>,
    options?: CallOptions,
  ): Promise<RecordPage<Pick<StepOf<T>, Field | 'stepId'>>> {
    return this.#query(QUERY_STEPS, query, options) as Promise<RecordPage<Pick<StepOf<T>, Field | 'stepId'>>>
  }

  /**
   * The chain once it is completed, failed or cancelled. `timeoutMs` bounds the whole wait; without it the wait ends
   * with the chain or the signal. While the server is away it goes on.
   */
  waitForTerminal(chainId: ChainId | Plain, options?: CallOptions): Promise<ChainOf<T>> {
    const look = (how: CallOptions) =>
      this.#calls.get(GET_CHAIN, chainId, how, chain) as Promise<ChainOf<T> | null>
    return untilTerminal(look, options)
  }

  #query(operation: number, query: unknown, options: unknown): Promise<unknown> {
    return this.#calls.byId(operation, '', query, options, recordPage, true)
  }
}
