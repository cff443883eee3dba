// What a caller in an ES module writes, and what the compiler must know about it.
import {
  type Chain,
  type Event,
  type EventPage,
  type IStorage,
  type JsonObject,
  MemoryStorage,
  openStorage,
  type Provenance,
  RedisAdapter,
  type Session,
  type Step,
  StorageError,
  schemas,
  ValidationError,
} from 'flowkeep'
import { same } from './equal.mjs'

await using storage = await openStorage({ backend: 'memory', sessionTtlSeconds: 60 })

// Both classes, and what openStorage gives, are the interface.
export const all: IStorage[] = [storage, new MemoryStorage(), new RedisAdapter('redis://127.0.0.1')]

const session = await storage.createSession('demo', { title: 'a', tags: ['x'], metadata: { n: 1 } })
const chain = await storage.createChain(session.sessionId, { title: 'b', source: 'flow' }, { rollup: false })
const step = await storage.createStep(chain.chainId, { action: 'c', waitsFor: [] }, { idempotencyKey: 'k' })

// What a storage gives out may say that its server is away.
same<typeof session, Session & Provenance>()
same<typeof chain, Chain & Provenance>()
same<typeof step, Step & Provenance>()
same<Awaited<ReturnType<typeof storage.getSession>>, (Session & Provenance) | null>()
same<Awaited<ReturnType<typeof storage.listChains>>, (Chain & Provenance)[]>()
same<Session['state'], 'active' | 'paused' | 'completed'>()
same<Session['expiresAt'], Date | null>()
same<Chain['status'], 'pending' | 'in_progress' | 'completed' | 'failed' | 'cancelled'>()
same<Step['status'], 'pending' | 'in_progress' | 'completed' | 'failed' | 'skipped'>()
same<Step['inputs'], JsonObject>()

// Records are read-only.
// @ts-expect-error
session.title = 'other'

// Unknown fields and wrong kinds are errors before they are sent.
// @ts-expect-error
storage.createSession('demo', { name: 'a' })
// @ts-expect-error
storage.createChain(session.sessionId, {})
// @ts-expect-error
storage.updateStep(step.stepId, { status: 'done' })
// @ts-expect-error
storage.appendEvent(session.sessionId, { type: 'note' })
// Optional means absent: `undefined` is not a value. null clears.
storage.updateSession(session.sessionId, { title: null })

// Updates: an object, or a function of what is there.
storage.updateSession(session.sessionId, (current) => ({ tags: [...current.tags, 'y'] }), { ifVersion: 1 })
storage.updateStep(step.stepId, { status: 'completed', result: { lines: ['ok'] } }, { timeoutMs: 100 })

const page = await storage.events({ sessionId: session.sessionId, types: ['step:completed'], limit: 10 })
same<typeof page, EventPage>()
same<(typeof page)['items'][number], Event>()

try {
  await storage.getSession('not one')
} catch (error) {
  if (error instanceof ValidationError) same<typeof error.code extends string ? true : false, true>()
  if (error instanceof StorageError) same<typeof error.outcome, 'applied' | 'not-applied' | 'unknown'>()
}

const parsed = schemas.sessionData.safeParse({})
if (parsed.success) console.log(parsed.data)
