import { afterAll, beforeAll } from 'vitest'
import type {
  Chain,
  ChainData,
  ChainStatus,
  Event,
  IStorage,
  Session,
  SessionData,
  SessionState,
  Step,
  StepData,
  StepStatus,
  StorageOptions,
} from '../support/flowkeep.js'

/** What the contract is run against. */
export interface Subject {
  name: string
  /** A fresh storage that shares nothing with the others. */
  open(options?: StorageOptions): Promise<IStorage>
  /** Every stored key of what `open` gave last, where the backend has keys that others can see. */
  keys?(): Promise<string[]>
}

let users = 0

/** A user id that no other test has. */
export const newUser = (): string => `user-${process.pid}-${++users}`

const sessionPaths = {
  active: [],
  paused: ['paused'],
  completed: ['completed'],
} as const satisfies Record<SessionState, SessionState[]>

const chainPaths = {
  pending: [],
  in_progress: ['in_progress'],
  completed: ['in_progress', 'completed'],
  failed: ['failed'],
  cancelled: ['cancelled'],
} as const satisfies Record<ChainStatus, ChainStatus[]>

const stepPaths = {
  pending: [],
  in_progress: ['in_progress'],
  completed: ['in_progress', 'completed'],
  failed: ['in_progress', 'failed'],
  skipped: ['skipped'],
} as const satisfies Record<StepStatus, StepStatus[]>

/** A storage and short words for what most tests begin with. */
export class Fixture {
  constructor(private opened: IStorage | undefined = undefined) {}

  get storage(): IStorage {
    if (this.opened === undefined) throw new Error('the storage is not open')
    return this.opened
  }

  async open(subject: Subject, options?: StorageOptions): Promise<void> {
    this.opened = await subject.open(options)
  }

  session(data: SessionData = {}, userId = newUser()): Promise<Session> {
    return this.storage.createSession(userId, data)
  }

  async chain(data: Partial<ChainData> = {}, options: { rollup?: boolean } = {}): Promise<Chain> {
    const session = await this.session()
    return this.storage.createChain(session.sessionId, { title: 'chain', ...data }, options)
  }

  async step(data: Partial<StepData> = {}): Promise<Step> {
    const chain = await this.chain()
    return this.storage.createStep(chain.chainId, { action: 'step', ...data })
  }

  async sessionIn(state: SessionState): Promise<Session> {
    let session = await this.session()
    for (const next of sessionPaths[state])
      session = await this.storage.updateSession(session.sessionId, { state: next })
    return session
  }

  async chainIn(status: ChainStatus): Promise<Chain> {
    let chain = await this.chain()
    for (const next of chainPaths[status])
      chain = await this.storage.updateChain(chain.chainId, { status: next })
    return chain
  }

  /** Brings a step to a status by the moves that lead there. */
  async moveStep(stepId: string, status: StepStatus): Promise<void> {
    for (const next of stepPaths[status]) await this.storage.updateStep(stepId, { status: next })
  }

  async stepIn(status: StepStatus): Promise<Step> {
    const step = await this.step()
    await this.moveStep(step.stepId, status)
    return existing(await this.storage.getStep(step.stepId))
  }

  /** A chain whose steps stand as named. All are created before the first one moves. */
  async chainOf(statuses: readonly StepStatus[], options: { rollup?: boolean } = {}): Promise<Chain> {
    const { chainId } = await this.chain({}, options)
    const steps: Step[] = []
    for (const status of statuses) steps.push(await this.storage.createStep(chainId, { action: status }))
    for (const step of steps) await this.moveStep(step.stepId, step.action as StepStatus)
    return existing(await this.storage.getChain(chainId))
  }

  /** Every event of a session, or of a user, so far. */
  async eventsOf(query: { sessionId: string } | { userId: string }): Promise<Event[]> {
    const all: Event[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await this.storage.events({
        ...query,
        limit: 1000,
        ...(cursor === undefined ? {} : { cursor }),
      })
      all.push(...page.items)
      if (page.items.length === 0) return all
      cursor = page.cursor
    }
  }

  /** The types of the events that `act` appends to a session, sorted. */
  async typesOf(sessionId: string, act: () => Promise<unknown>): Promise<string[]> {
    const before = await this.eventsOf({ sessionId })
    await act()
    const after = await this.eventsOf({ sessionId })
    return after
      .slice(before.length)
      .map((event) => event.type)
      .sort()
  }
}

/** Opens one storage for all tests of a `describe` block and closes it after them. */
export function useFixture(subject: Subject, options?: StorageOptions): Fixture {
  const fixture = new Fixture()
  beforeAll(() => fixture.open(subject, options))
  afterAll(() => fixture.storage.close())
  return fixture
}

/** A record that has to be there. */
export function existing<T>(record: T | null | undefined): T {
  if (record === null || record === undefined) throw new Error('expected a record, got none')
  return record
}
