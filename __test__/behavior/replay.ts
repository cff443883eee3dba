import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Chain, Event, IStorage, Session, Step } from '../support/flowkeep.js'
import { NotFoundError, StorageError, UnsupportedError, ValidationError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { nextMoment } from '../support/until.js'
import { existing, newUser, type Subject, useFixture } from './fixture.js'

interface Tree {
  session: Session | null
  chains: readonly Chain[]
  steps: readonly Step[]
}

/** One thing to do to a tree; the numbers choose among what is there. */
type Move = readonly [name: keyof typeof moves, which: number, value: unknown]

interface Writing {
  storage: IStorage
  sessionId: string
  chains: string[]
  steps: string[]
}

/** `FLOWKEEP_SEED` repeats a run. */
const seed = process.env.FLOWKEEP_SEED ? { seed: Number(process.env.FLOWKEEP_SEED) % 2 ** 31 } : {}

const pick = (ids: readonly string[], which: number) => ids[which % Math.max(1, ids.length)] ?? ''

const moves = {
  session: (w: Writing, _: number, value: unknown) =>
    w.storage.updateSession(w.sessionId, value as Record<string, unknown>),
  chain: async (w: Writing, which: number, value: unknown) => {
    const data = { title: 'chain', ...(value as object) }
    w.chains.push((await w.storage.createChain(w.sessionId, data, { rollup: which % 4 > 0 })).chainId)
  },
  changeChain: (w: Writing, which: number, value: unknown) =>
    w.storage.updateChain(pick(w.chains, which), value as Record<string, unknown>),
  dropChain: (w: Writing, which: number) => w.storage.deleteChain(pick(w.chains, which)),
  step: async (w: Writing, which: number, value: unknown) => {
    const data = { action: 'step', ...(value as object) }
    w.steps.push((await w.storage.createStep(pick(w.chains, which), data)).stepId)
  },
  changeStep: (w: Writing, which: number, value: unknown) =>
    w.storage.updateStep(pick(w.steps, which), value as Record<string, unknown>),
  dropStep: (w: Writing, which: number) => w.storage.deleteStep(pick(w.steps, which)),
  event: (w: Writing) => w.storage.appendEvent(w.sessionId, { type: 'custom:x', data: { status: 'x' } }),
}

const json = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown)
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
const object = fc.dictionary(
  fc.string({ maxLength: 4 }).filter((name) => name !== '__proto__'),
  json,
  { maxKeys: 3 },
)
const some = (fields: Record<string, fc.Arbitrary<unknown>>) => fc.record(fields, { requiredKeys: [] })
const clearable = (value: fc.Arbitrary<unknown>) => fc.option(value, { nil: null })

const values: Record<keyof typeof moves, fc.Arbitrary<unknown>> = {
  session: some({
    title: clearable(text),
    tags: fc.array(text, { maxLength: 3 }),
    metadata: object,
    state: fc.constantFrom('active', 'paused', 'completed'),
  }),
  chain: some({ source: fc.constantFrom('flow', 'composed'), summary: text, metadata: object }),
  changeChain: some({
    title: text,
    source: clearable(fc.constantFrom('flow', 'meta-task')),
    summary: clearable(text),
    metadata: object,
    status: fc.constantFrom('in_progress', 'completed', 'failed', 'cancelled'),
  }),
  dropChain: fc.constant(null),
  step: some({ model: text, inputs: object }),
  changeStep: some({
    action: text,
    model: clearable(text),
    inputs: object,
    status: fc.constantFrom('in_progress', 'in_progress', 'completed', 'failed', 'failed', 'skipped'),
    result: json,
    error: clearable(text),
  }),
  dropStep: fc.constant(null),
  event: fc.constant(null),
}

const weights = {
  session: 2,
  chain: 3,
  changeChain: 3,
  dropChain: 1,
  step: 6,
  changeStep: 12,
  dropStep: 1,
  event: 1,
}
const move = fc.oneof(
  ...Object.entries(weights).map(([name, weight]) => ({
    weight,
    arbitrary: fc.tuple(
      fc.constant(name as keyof typeof moves),
      fc.nat(7),
      values[name as keyof typeof moves],
    ) as fc.Arbitrary<Move>,
  })),
)

/** The tree as it is. */
async function treeOf(storage: IStorage, sessionId: string): Promise<Tree> {
  const chains = await storage.listChains(sessionId)
  const steps = await Promise.all(chains.map(({ chainId }) => storage.listSteps(chainId)))
  return { session: await storage.getSession(sessionId), chains, steps: steps.flat() }
}

/** The tree as its log tells it. */
export function replay(subject: Subject): void {
  describe('replay', () => {
    const fixture = useFixture(subject)

    it('rebuilds what was there, after every write of random histories', { timeout: 60_000 }, async () => {
      const { storage } = fixture
      let refused = 0
      let compared = 0
      const property = fc.asyncProperty(fc.array(move, { minLength: 5, maxLength: 40 }), async (history) => {
        const { sessionId } = await storage.createSession(newUser(), { title: 'T', tags: ['a'] })
        const writing: Writing = { storage, sessionId, chains: [], steps: [] }
        const snapshots: [at: string, tree: Tree][] = []
        for (const [name, which, value] of history) {
          await moves[name](writing, which, value).catch((error: unknown) => {
            // A history may try what is refused: it has to leave no trace.
            if (!(error instanceof StorageError)) throw error
            refused++
          })
          const log = await fixture.eventsOf({ sessionId })
          snapshots.push([existing(log.at(-1)).eventId, await treeOf(storage, sessionId)])
        }
        for (const [at, tree] of snapshots) {
          expect(await storage.replay(sessionId, { at })).toEqual(tree)
          compared++
        }
        expect(await storage.replay(sessionId)).toEqual(snapshots.at(-1)?.[1])
      })
      await fc.assert(property, { ...seed, numRuns: 30, interruptAfterTimeLimit: 8_000, endOnFailure: true })
      expect(compared).toBeGreaterThan(100)
      expect(refused).toBeGreaterThan(10)
    })

    it('stands on events that tell what has changed, and no more', async () => {
      const { storage } = fixture
      const large = { large: 'x'.repeat(10_000) }
      const { sessionId } = await fixture.session({ title: 'one', metadata: large })
      const { chainId } = await storage.createChain(sessionId, { title: 'one', metadata: large })
      const { stepId } = await storage.createStep(chainId, { action: 'one', inputs: large })
      const tell = async (change: () => Promise<unknown>) => {
        const known = async () =>
          new Map<string, object | null>([
            ['session', await storage.getSession(sessionId)],
            ['chain', await storage.getChain(chainId)],
            ['step', await storage.getStep(stepId)],
          ])
        const before = await known()
        const { length } = await fixture.eventsOf({ sessionId })
        await change()
        const after = await known()
        for (const { type, data } of (await fixture.eventsOf({ sessionId })).slice(length)) {
          const kind = type.slice(0, type.indexOf(':'))
          const [was, is] = [before.get(kind) ?? {}, after.get(kind) ?? {}] as Record<string, unknown>[]
          const names = [...new Set([...Object.keys(was ?? {}), ...Object.keys(is ?? {})])]
          const changed = names.filter((name) => JSON.stringify(was?.[name]) !== JSON.stringify(is?.[name]))
          // Every change draws the deadline out, and the time of a change is its event's own.
          const told = changed.filter((name) => name !== 'updatedAt' && name !== 'expiresAt')
          expect(Object.keys(data).sort(), type).toEqual(told.sort())
        }
      }
      await tell(() => storage.updateSession(sessionId, { title: 'two' }))
      await tell(() => storage.updateChain(chainId, { summary: 'two' }))
      await tell(() => storage.updateStep(stepId, { status: 'in_progress' }))
      await tell(() => storage.updateStep(stepId, { action: 'two' }))
      const log = JSON.stringify((await fixture.eventsOf({ sessionId })).slice(3))
      expect(log).not.toContain('xxx')
    })

    it('takes a time, and what was there at its end', async () => {
      const { storage } = fixture
      const { sessionId } = await fixture.session({ title: 'first' })
      const before = await treeOf(storage, sessionId)
      await nextMoment()
      await storage.updateSession(sessionId, { title: 'second' })
      const at = existing(before.session).createdAt
      expect(await storage.replay(sessionId, { at })).toEqual(before)
      expect(await storage.replay(sessionId, { at: new Date(at.getTime() - 1) })).toEqual({
        session: null,
        chains: [],
        steps: [],
      })
      expect(await storage.replay(sessionId, { at: new Date(at.getTime() + 1e9) })).toEqual(
        await treeOf(storage, sessionId),
      )
    })

    it('tells a result that is null from one that is gone', async () => {
      const { storage } = fixture
      const { stepId, sessionId } = await fixture.step()
      const set = async (update: object) => {
        await storage.updateStep(stepId, update)
        return existing((await storage.replay(sessionId)).steps[0])
      }
      await set({ status: 'in_progress' })
      expect(await set({ status: 'failed', result: null, error: 'no' })).toMatchObject({
        result: null,
        error: 'no',
      })
      const retried = await set({ status: 'in_progress' })
      expect([retried.attempt, 'result' in retried, 'error' in retried]).toEqual([2, false, false])
      expect(await set({ result: null })).toMatchObject({ result: null })
      expect(await storage.getStep(stepId)).toEqual((await storage.replay(sessionId)).steps[0])
    })

    it('gives frozen records with dates', async () => {
      const step = await fixture.step()
      const { session, chains, steps } = await fixture.storage.replay(step.sessionId)
      expect(steps).toEqual([step])
      for (const record of [existing(session), existing(chains[0]), existing(steps[0])]) {
        expect(record.createdAt).toBeInstanceOf(Date)
        expect(Object.isFrozen(record)).toBe(true)
      }
    })

    it('is refused for a session that is gone, and for an event of another one', async () => {
      const { storage } = fixture
      const [one, two] = [await fixture.session(), await fixture.session()]
      const [event] = (await storage.events({ sessionId: two.sessionId })).items as [Event]
      await refusal(storage.replay(one.sessionId, { at: event.eventId }), ValidationError, 'STORAGE_INVALID')
      await storage.deleteSession(one.sessionId)
      await refusal(storage.replay(one.sessionId), NotFoundError, 'STORAGE_NOT_FOUND')
    })
  })

  describe('a long log', () => {
    const fixture = useFixture(subject)

    it('that was trimmed is one gap for who reads it, and no longer replayed', {
      timeout: 60_000,
    }, async () => {
      const { storage } = fixture
      const { sessionId, userId } = await fixture.session()
      const early = [storage.subscribe({ sessionId }), storage.subscribe({ userId })] as const
      for (const reader of early) expect((await reader.next()).value?.type).toBe('session:created')
      const total = 10_300
      for (let n = 0; n < total; n += 500) {
        const batch = Array.from({ length: Math.min(500, total - n) }, (_, i) => n + i)
        await Promise.all(
          batch.map((i) => storage.appendEvent(sessionId, { type: 'custom:n', data: { n: i } })),
        )
      }
      const [first] = (await storage.events({ sessionId, types: ['custom:n'], limit: 1 })).items
      let told = 0
      const deaf = storage.on('gap', ({ reason }) => {
        if (reason.includes('trimmed')) told++
      })
      const fresh = storage.subscribe({ sessionId })
      const gap = existing((await fresh.next()).value)
      const lost = existing(first).data.n as number
      expect(gap).toMatchObject({ type: 'gap', sessionId, count: lost + 1 })
      expect(told).toBe(1)
      deaf()
      expect((await fresh.next()).value).toEqual(first)
      await fresh.return()
      await refusal(storage.replay(sessionId), UnsupportedError, 'STORAGE_UNSUPPORTED')
      for (const reader of early) {
        // What was read ahead comes first; then, without a hole, either what follows it or a gap.
        let [expected, gaps, last] = [0, 0, -1]
        while (last < total - 1) {
          const item = existing((await reader.next()).value)
          if (item.type === 'gap') gaps++
          else {
            last = (item as Event).data.n as number
            if (last !== expected) expect(gaps).toBe(1)
            expected = last + 1
          }
        }
        expect(gaps).toBeLessThanOrEqual(1)
        await reader.return()
      }
    })
  })
}
