import type {
  Chain,
  ChainUpdate,
  IStorage,
  Session,
  SessionUpdate,
  Step,
  StepUpdate,
} from '../support/flowkeep.js'
import { existing, type Fixture, newUser } from './fixture.js'

export type AnyRecord = Session | Chain | Step
type Changes = Readonly<Record<string, unknown>>
type Create = { idempotencyKey?: string; signal?: AbortSignal; timeoutMs?: number }
type Update = { ifVersion?: number; signal?: AbortSignal; timeoutMs?: number }
type List = { limit?: number; order?: 'asc' | 'desc' }

/** What sessions, chains and steps have in common, so that one test serves the three of them. */
export interface Kind {
  name: 'Session' | 'Chain' | 'Step'
  /** The field that holds a record's own id, its parent's, and its required or first text. */
  id: 'sessionId' | 'chainId' | 'stepId'
  parent: 'userId' | 'sessionId' | 'chainId'
  text: 'title' | 'action'
  json: 'metadata' | 'inputs'
  /** The status field, and two statuses one after the other that a new record can take. */
  status: 'state' | 'status'
  moves: readonly [string, string]
  immutable: readonly string[]
  newParent(fixture: Fixture): Promise<string>
  create(storage: IStorage, parentId: string, text: string, options?: Create): Promise<AnyRecord>
  get(storage: IStorage, id: string): Promise<AnyRecord | null>
  update(
    storage: IStorage,
    id: string,
    updates: Changes | ((current: AnyRecord) => Changes),
    options?: Update,
  ): Promise<AnyRecord>
  remove(storage: IStorage, id: string): Promise<void>
  list(storage: IStorage, parentId: string, options?: List): Promise<AnyRecord[]>
}

const times = ['createdAt', 'updatedAt', 'version'] as const

export const sessionKind: Kind = {
  name: 'Session',
  id: 'sessionId',
  parent: 'userId',
  text: 'title',
  json: 'metadata',
  status: 'state',
  moves: ['paused', 'completed'],
  immutable: ['sessionId', 'userId', 'expiresAt', ...times],
  newParent: () => Promise.resolve(newUser()),
  create: (storage, userId, title, options) => storage.createSession(userId, { title }, options),
  get: (storage, id) => storage.getSession(id),
  update: (storage, id, updates, options) => storage.updateSession(id, updates as SessionUpdate, options),
  remove: (storage, id) => storage.deleteSession(id),
  list: (storage, userId, options) => storage.listSessions(userId, options),
}

export const chainKind: Kind = {
  name: 'Chain',
  id: 'chainId',
  parent: 'sessionId',
  text: 'title',
  json: 'metadata',
  status: 'status',
  moves: ['in_progress', 'completed'],
  immutable: [
    'chainId',
    'sessionId',
    'stepOrder',
    'stepCounts',
    'startedAt',
    'completedAt',
    'archivedAt',
    ...times,
  ],
  newParent: async (fixture) => (await fixture.session()).sessionId,
  create: (storage, sessionId, title, options) => storage.createChain(sessionId, { title }, options),
  get: (storage, id) => storage.getChain(id),
  update: (storage, id, updates, options) => storage.updateChain(id, updates as ChainUpdate, options),
  remove: (storage, id) => storage.deleteChain(id),
  list: (storage, sessionId, options) => storage.listChains(sessionId, options),
}

export const stepKind: Kind = {
  name: 'Step',
  id: 'stepId',
  parent: 'chainId',
  text: 'action',
  json: 'inputs',
  status: 'status',
  moves: ['in_progress', 'completed'],
  immutable: [
    'stepId',
    'chainId',
    'sessionId',
    'stepNumber',
    'attempt',
    'startedAt',
    'completedAt',
    ...times,
  ],
  newParent: async (fixture) => (await fixture.chain()).chainId,
  create: (storage, chainId, action, options) => storage.createStep(chainId, { action }, options),
  get: (storage, id) => storage.getStep(id),
  update: (storage, id, updates, options) => storage.updateStep(id, updates as StepUpdate, options),
  remove: (storage, id) => storage.deleteStep(id),
  list: (storage, chainId, options) => storage.listSteps(chainId, options),
}

export const kinds: readonly Kind[] = [sessionKind, chainKind, stepKind]

/** A new record of a kind, below a new parent. */
export async function createOne(kind: Kind, fixture: Fixture, text = 'first'): Promise<AnyRecord> {
  return kind.create(fixture.storage, await kind.newParent(fixture), text)
}

/** A field of a record, by its name. */
export function field(record: AnyRecord, name: string): unknown {
  return (record as unknown as Readonly<Record<string, unknown>>)[name]
}

/** The record's own id. */
export function idOf(kind: Kind, record: AnyRecord): string {
  return String(field(record, kind.id))
}

/** The record as it is stored now. */
export async function stored(kind: Kind, fixture: Fixture, id: string): Promise<AnyRecord> {
  return existing(await kind.get(fixture.storage, id))
}
