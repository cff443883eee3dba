import type { IStorage, StorageError } from './flowkeep.js'

type Options = { signal?: AbortSignal; timeoutMs?: number }

/** The ids that `everyMethod` needs: of a user and of one tree. */
export interface Ids {
  userId: string
  sessionId: string
  chainId: string
  stepId: string
}

export interface Method {
  name: string
  writes: boolean
  call(storage: IStorage, ids: Ids, options?: Options): Promise<unknown>
}

const method = (name: string, writes: boolean, call: Method['call']): Method => ({ name, writes, call })
const read = (name: string, call: Method['call']) => method(name, false, call)
const write = (name: string, call: Method['call']) => method(name, true, call)

/** Every operation on records and events, each as one valid call. Deletes come last, from the leaves up. */
export const everyMethod: readonly Method[] = [
  write('createSession', (s, ids, options) => s.createSession(ids.userId, { title: 'new' }, options)),
  read('getSession', (s, ids, options) => s.getSession(ids.sessionId, options)),
  write('updateSession', (s, ids, options) => s.updateSession(ids.sessionId, { title: 'changed' }, options)),
  read('listSessions', (s, ids, options) => s.listSessions(ids.userId, options)),
  write('touchSession', (s, ids, options) => s.touchSession(ids.sessionId, options)),
  write('createChain', (s, ids, options) => s.createChain(ids.sessionId, { title: 'new' }, options)),
  read('getChain', (s, ids, options) => s.getChain(ids.chainId, options)),
  write('updateChain', (s, ids, options) => s.updateChain(ids.chainId, { title: 'changed' }, options)),
  read('listChains', (s, ids, options) => s.listChains(ids.sessionId, options)),
  write('createStep', (s, ids, options) => s.createStep(ids.chainId, { action: 'new' }, options)),
  read('getStep', (s, ids, options) => s.getStep(ids.stepId, options)),
  write('updateStep', (s, ids, options) => s.updateStep(ids.stepId, { action: 'changed' }, options)),
  write('heartbeatStep', async (s, ids, options) => {
    try {
      return await s.heartbeatStep(ids.stepId, options)
    } catch (error) {
      if ((error as Partial<StorageError> | undefined)?.code !== 'STORAGE_TRANSITION') throw error
    }
    // Nothing was wrong with the call, but the step has no lease yet.
    await s.updateStep(ids.stepId, { status: 'in_progress' }, { leaseSeconds: 3600 })
    return s.heartbeatStep(ids.stepId, options)
  }),
  read('listSteps', (s, ids, options) => s.listSteps(ids.chainId, options)),
  write('appendEvent', (s, ids, options) => s.appendEvent(ids.sessionId, { type: 'custom:note' }, options)),
  read('events', (s, ids, options) => s.events({ userId: ids.userId }, options)),
  read('sessionCounts', (s, ids, options) => s.sessionCounts(ids.userId, options)),
  read('querySessions', (s, ids, options) => s.querySessions({ parent: ids.userId }, options)),
  read('queryChains', (s, ids, options) => s.queryChains({ parent: ids.sessionId }, options)),
  read('querySteps', (s, ids, options) => s.querySteps({ parent: ids.chainId }, options)),
  read('sweep', (s, _, options) => s.sweep(options)),
  read('pruneEvents', (s, _, options) =>
    s.pruneEvents({ olderThan: new Date(0), perSecond: 1_000_000 }, options),
  ),
  read('replay', (s, ids, options) => s.replay(ids.sessionId, options)),
  write('deleteStep', (s, ids, options) => s.deleteStep(ids.stepId, options)),
  write('deleteChain', (s, ids, options) => s.deleteChain(ids.chainId, options)),
  write('deleteSession', (s, ids, options) => s.deleteSession(ids.sessionId, options)),
  write('eraseUser', (s, ids, options) => s.eraseUser(ids.userId, options)),
]

/** Operations on what stands beside the records, each as one valid call. */
export const plainMethods: readonly Method[] = [
  write('streams.add', (s, _, options) => s.streams.add('methods', { n: '1' }, options)),
  read('streams.read', (s, _, options) => s.streams.read('methods', options)),
  read('streams.length', (s, _, options) => s.streams.length('methods', options)),
  write('streams.createGroup', (s, _, options) => s.streams.createGroup('methods', 'g', options)),
  write('streams.ack', (s, _, options) => s.streams.ack('methods', 'g', '1-1', options)),
  write('requestLog.record', (s, _, options) =>
    s.requestLog.record(
      { ip: '::1', host: 'h', method: 'GET', path: '/', status: 200, durationMs: 1 },
      options,
    ),
  ),
  read('requestLog.search', (s, _, options) => s.requestLog.search({ host: 'h' }, options)),
  read('requestLog.hourly', (s, _, options) => s.requestLog.hourly({}, options)),
]
