import { describe, expect, it } from 'vitest'
import { ConflictError, type Event, NotFoundError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { until } from '../support/until.js'
import { existing, type Fixture, newUser, type Subject, useFixture } from './fixture.js'

const typesOf = (events: readonly Event[]) => events.map((event) => event.type)

/** A session with one chain that is over and one that is not. */
async function plant(fixture: Fixture, userId = newUser(), statuses = ['completed', 'failed'] as const) {
  const { storage } = fixture
  const { sessionId } = await storage.createSession(userId, {})
  const done = await storage.createChain(sessionId, { title: 'done', metadata: { n: [1.5, {}] } })
  const steps: string[] = []
  for (const status of statuses) {
    const step = await storage.createStep(done.chainId, { action: status, inputs: { key: 'ü{}' } })
    steps.push(step.stepId)
  }
  for (const [n, stepId] of steps.entries()) await fixture.moveStep(stepId, existing(statuses[n]))
  const open = await storage.createChain(sessionId, { title: 'open' })
  const running = await storage.createStep(open.chainId, { action: 'go' })
  return {
    userId,
    sessionId,
    chainId: done.chainId as string,
    steps,
    open: open.chainId,
    running: running.stepId,
  }
}

/** Chains at their end: read-only, compact, with a life of their own. */
export function archive(subject: Subject): void {
  describe('a chain at its end', () => {
    const fixture = useFixture(subject)

    it('is archived with the write that ends it, and told once', async () => {
      const { storage } = fixture
      const { sessionId, chainId, steps } = await plant(fixture)
      const chain = existing(await storage.getChain(chainId))
      expect(chain).toMatchObject({ status: 'failed', metadata: { n: [1.5, {}] }, stepOrder: steps })
      expect(chain.archivedAt).toBeInstanceOf(Date)
      expect(chain.archivedAt).toEqual(chain.completedAt)
      const events = await fixture.eventsOf({ sessionId })
      const ofChain = events.filter((event) => event.chainId === chainId && event.type.startsWith('chain:'))
      expect(typesOf(ofChain).slice(-2)).toEqual(['chain:failed', 'chain:archived'])
      expect(ofChain.at(-1)?.data).toEqual({
        archivedAt: chain.archivedAt?.toISOString(),
        version: chain.version,
      })
      expect(typesOf(events).filter((type) => type === 'chain:archived')).toHaveLength(1)
    })

    it('is archived however it ends, also by hand and by deleting the last step that was left', async () => {
      const { storage } = fixture
      for (const status of ['completed', 'failed', 'cancelled'] as const) {
        const chain = await fixture.chainIn(status)
        expect(chain.archivedAt).toBeInstanceOf(Date)
        expect(await storage.getChain(chain.chainId)).toEqual(chain)
      }
      const { chainId } = await fixture.chain()
      const [done, left] = [
        await storage.createStep(chainId, { action: 'a' }),
        await storage.createStep(chainId, { action: 'b' }),
      ]
      await fixture.moveStep(done.stepId, 'completed')
      await storage.deleteStep(left.stepId)
      expect(existing(await storage.getChain(chainId))).toMatchObject({
        status: 'completed',
        stepOrder: [done.stepId],
      })
      expect(existing(await storage.getChain(chainId)).archivedAt).toBeInstanceOf(Date)
      expect(await storage.getStep(left.stepId)).toBeNull()
    })

    it('is served as before by every read', async () => {
      const { storage } = fixture
      const { sessionId, chainId, steps, open, running } = await plant(fixture)
      const [first, second] = [
        await storage.getStep(existing(steps[0])),
        await storage.getStep(existing(steps[1])),
      ]
      expect(first).toMatchObject({ status: 'completed', inputs: { key: 'ü{}' }, stepNumber: 1 })
      expect(second).toMatchObject({ status: 'failed', stepNumber: 2 })
      expect(await storage.listSteps(chainId)).toEqual([first, second])
      expect(await storage.listSteps(chainId, { order: 'desc', limit: 1 })).toEqual([second])
      const page = await storage.querySteps({ parent: chainId, status: 'failed' })
      expect(page.items).toEqual([second])
      const [done, going] = [await storage.getChain(chainId), await storage.getChain(open)]
      expect(await storage.listChains(sessionId)).toEqual([done, going])
      expect(await storage.listChains(sessionId, { archived: 'include', order: 'desc' })).toEqual([
        going,
        done,
      ])
      expect(await storage.listChains(sessionId, { archived: 'exclude' })).toEqual([going])
      expect(await storage.listChains(sessionId, { archived: 'only' })).toEqual([done])
      const only = await storage.queryChains({ parent: sessionId, archived: 'only', fields: ['title'] })
      expect(only).toEqual({ items: [{ chainId, title: 'done' }], cursor: null })
      expect((await storage.queryChains({ parent: sessionId, status: 'failed' })).items).toEqual([done])
      const replayed = await storage.replay(sessionId)
      expect(replayed).toMatchObject({ chains: [done, going] })
      expect(replayed.steps).toEqual([first, second, await storage.getStep(running)])
      for await (const snapshot of storage.watchSession(sessionId)) {
        expect(snapshot).toMatchObject({ type: 'snapshot', chains: [done, going] })
        expect((snapshot as { steps: readonly unknown[] }).steps).toEqual(replayed.steps)
        break
      }
      expect(await storage.waitForTerminal(chainId)).toEqual(done)
      expect(await storage.getStep(`${existing(steps[0]).slice(0, -1)}z`)).toBeNull()
    })

    it('can only be read: what would change it is refused and shows what is there', async () => {
      const { storage } = fixture
      const { sessionId, chainId, steps } = await plant(fixture, newUser(), [
        'completed',
        'completed',
      ] as never)
      const [chain, step] = [await storage.getChain(chainId), await storage.getStep(existing(steps[0]))]
      const before = await fixture.eventsOf({ sessionId })
      const refusals: [() => Promise<unknown>, unknown][] = [
        [() => storage.updateChain(chainId, { title: 'other' }), chain],
        [() => storage.updateChain(chainId, { metadata: {} }), chain],
        [() => storage.createStep(chainId, { action: 'late' }), chain],
        [() => storage.updateStep(existing(steps[0]), { result: 1 }), step],
        [() => storage.updateStep(existing(steps[0]), () => ({ action: 'other' })), step],
        [() => storage.deleteStep(existing(steps[0])), step],
      ]
      for (const [refused, current] of refusals) {
        const error = await refusal(refused(), ConflictError, 'STORAGE_ARCHIVED')
        expect((error as ConflictError).current).toEqual(current)
      }
      const illegal = storage.updateStep(existing(steps[0]), { status: 'in_progress' })
      const moved = await refusal(illegal, ConflictError, 'STORAGE_TRANSITION')
      expect(moved).toMatchObject({ from: 'completed', to: 'in_progress' })
      await refusal(
        storage.updateChain(chainId, { title: 'x' }, { ifVersion: 1 }),
        ConflictError,
        'STORAGE_CONFLICT',
      )
      // The present value again changes nothing.
      expect(await storage.updateChain(chainId, { title: 'done', status: 'completed' })).toEqual(chain)
      expect(await storage.updateStep(existing(steps[0]), { status: 'completed' })).toEqual(step)
      expect(await fixture.eventsOf({ sessionId })).toEqual(before)
    })

    it('gives the first record again for a key that was used', async () => {
      const { storage } = fixture
      const { sessionId } = await fixture.session()
      const chain = await storage.createChain(sessionId, { title: 'one' }, { idempotencyKey: 'c' })
      const step = await storage.createStep(chain.chainId, { action: 'one' }, { idempotencyKey: 's' })
      await fixture.moveStep(step.stepId, 'completed')
      const again = await storage.createChain(sessionId, { title: 'one' }, { idempotencyKey: 'c' })
      expect(again).toEqual(await storage.getChain(chain.chainId))
      const stepAgain = await storage.createStep(chain.chainId, { action: 'one' }, { idempotencyKey: 's' })
      expect(stepAgain).toEqual(await storage.getStep(step.stepId))
    })

    it('is revived by a retry of a failed step, with everything that it was', async () => {
      const { storage } = fixture
      const { sessionId, chainId, steps } = await plant(fixture)
      const kept = await storage.getStep(existing(steps[0]))
      const failed = existing(await storage.getChain(chainId))
      const retried = await storage.updateStep(existing(steps[1]), { status: 'in_progress' })
      expect(retried).toMatchObject({ status: 'in_progress', attempt: 2 })
      const chain = existing(await storage.getChain(chainId))
      expect(chain).toMatchObject({ status: 'in_progress', stepOrder: steps })
      expect(chain.archivedAt).toBeUndefined()
      expect(chain.version).toBe(failed.version + 1)
      expect(await storage.listSteps(chainId)).toEqual([kept, retried])
      expect(await storage.listChains(sessionId, { archived: 'only' })).toEqual([])
      await storage.updateStep(existing(steps[1]), { status: 'completed' })
      const done = existing(await storage.getChain(chainId))
      expect(done).toMatchObject({ status: 'completed' })
      expect(done.archivedAt).toBeInstanceOf(Date)
      expect(existing(await storage.replay(sessionId)).chains[0]).toEqual(done)
    })

    it('is revived by its own retry, once, whoever else tries', async () => {
      const { storage } = fixture
      const { chainId, sessionId } = await plant(fixture)
      const all = await Promise.all(
        Array.from({ length: 8 }, () => storage.updateChain(chainId, { status: 'in_progress' })),
      )
      const chain = existing(await storage.getChain(chainId))
      for (const one of all) expect(one).toEqual(chain)
      const started = (await fixture.eventsOf({ sessionId })).filter(
        (event) => event.chainId === chainId && event.type === 'chain:started',
      )
      expect(started).toHaveLength(2)
      expect(await storage.updateChain(chainId, { title: 'writable' })).toMatchObject({ title: 'writable' })
    })

    it('is deleted with all that is below it', async () => {
      const { storage } = fixture
      const { sessionId, chainId, steps, open } = await plant(fixture)
      await storage.deleteChain(chainId)
      await storage.deleteChain(chainId)
      expect(await storage.getChain(chainId)).toBeNull()
      expect(await storage.getStep(existing(steps[0]))).toBeNull()
      expect((await storage.listChains(sessionId)).map((chain) => chain.chainId)).toEqual([open])
      expect(
        typesOf(await fixture.eventsOf({ sessionId })).filter((type) => type === 'chain:deleted'),
      ).toHaveLength(1)
      await refusal(storage.listSteps(chainId), NotFoundError, 'STORAGE_NOT_FOUND')
    })

    it('leaves no key behind when its session is deleted', async () => {
      const { storage } = fixture
      const before = new Set((await subject.keys?.()) ?? [])
      const { sessionId, chainId } = await plant(fixture)
      const grown = ((await subject.keys?.()) ?? []).filter((key) => !before.has(key))
      const trees = grown.filter((key) => /\}:[ta]:/.test(key))
      if (subject.keys) expect(trees).toHaveLength(2)
      const { chainId: more } = await storage.createChain(sessionId, { title: 'more' })
      await storage.updateChain(more, { status: 'cancelled' })
      const after = ((await subject.keys?.()) ?? []).filter((key) => !before.has(key))
      expect(after.sort()).toEqual(grown.sort())
      await storage.deleteSession(sessionId)
      expect(await storage.getChain(chainId)).toBeNull()
      const left = ((await subject.keys?.()) ?? []).filter((key) => !before.has(key))
      expect(left.filter((key) => !/\}:f:/.test(key))).toEqual([])
    })
  })

  describe('an archive whose session has expired', () => {
    const fixture = useFixture(subject, { sessionTtlSeconds: 0.3, sweepSeconds: 0 })

    async function outlived(): Promise<Awaited<ReturnType<typeof plant>>> {
      const planted = await plant(fixture)
      const gone = async () => (await fixture.storage.getSession(planted.sessionId)) === null
      await until(gone, 'the session has expired')
      return planted
    }

    it('still serves what it holds, and what was not archived is gone', async () => {
      const { storage } = fixture
      const { sessionId, chainId, steps, open, running } = await outlived()
      for (const swept of [false, true]) {
        if (swept) await storage.sweep()
        const chain = existing(await storage.getChain(chainId))
        expect(chain.status).toBe('failed')
        expect((await storage.listSteps(chainId)).map((step) => step.stepId)).toEqual(steps)
        expect(await storage.getStep(existing(steps[1]))).toMatchObject({ status: 'failed' })
        expect(await storage.listChains(sessionId)).toEqual([chain])
        expect(await storage.listChains(sessionId, { archived: 'only' })).toEqual([chain])
        expect((await storage.queryChains({ parent: sessionId })).items).toEqual([chain])
        await refusal(
          storage.listChains(sessionId, { archived: 'exclude' }),
          NotFoundError,
          'STORAGE_NOT_FOUND',
        )
        expect([await storage.getChain(open), await storage.getStep(running)]).toEqual([null, null])
      }
    })

    it('can be read and deleted, but not revived', async () => {
      const { storage } = fixture
      const { userId, sessionId, chainId, steps } = await outlived()
      const retry = storage.updateStep(existing(steps[1]), { status: 'in_progress' })
      await refusal(retry, NotFoundError, 'STORAGE_NOT_FOUND')
      await refusal(storage.updateChain(chainId, { title: 'x' }), ConflictError, 'STORAGE_ARCHIVED')
      expect(await storage.getSession(sessionId)).toBeNull()
      await storage.deleteChain(chainId)
      expect(await storage.getChain(chainId)).toBeNull()
      expect(typesOf(await fixture.eventsOf({ userId })).at(-1)).toBe('chain:deleted')
    })

    it.each(['before the sweep', 'behind the sweep'])(
      'goes with eraseUser %s, without a trace',
      async (when) => {
        const { storage } = fixture
        const before = new Set((await subject.keys?.()) ?? [])
        const { userId, chainId } = await outlived()
        if (when.startsWith('behind')) await storage.sweep()
        expect(await storage.getChain(chainId)).not.toBeNull()
        await storage.eraseUser(userId)
        expect(await storage.getChain(chainId)).toBeNull()
        expect(((await subject.keys?.()) ?? []).filter((key) => !before.has(key))).toEqual([])
      },
    )

    it('goes with deleteSession', async () => {
      const { storage } = fixture
      const { sessionId, chainId } = await outlived()
      await storage.sweep()
      await storage.deleteSession(sessionId)
      expect(await storage.getChain(chainId)).toBeNull()
      const left = ((await subject.keys?.()) ?? []).filter((key) => key.includes(sessionId.slice(4)))
      expect(left).toEqual([])
    })
  })

  describe('an archive with a short life', () => {
    const fixture = useFixture(subject, { sessionTtlSeconds: 0.2, archiveTtlSeconds: 0.8, sweepSeconds: 0 })

    it('ends after its own time, and leaves no key but the feed', async () => {
      const { storage } = fixture
      const { chainId, steps, sessionId } = await plant(fixture)
      const chain = existing(await storage.getChain(chainId))
      await until(async () => (await storage.getChain(chainId)) === null, 'the archive has expired')
      expect(Date.now()).toBeGreaterThanOrEqual(existing(chain.archivedAt).getTime() + 800)
      expect(await storage.getStep(existing(steps[0]))).toBeNull()
      await refusal(storage.listChains(sessionId), NotFoundError, 'STORAGE_NOT_FOUND')
      await until(async () => {
        await storage.sweep()
        return ((await subject.keys?.()) ?? []).filter((key) => !/\}:f:/.test(key)).length === 0
      }, 'nothing is left')
    })
  })

  describe('a chain that is to be archived later', () => {
    const fixture = useFixture(subject, { archiveAfterSeconds: 0.2, sweepSeconds: 0 })

    it('can be changed until then, and is archived by the sweep, once', async () => {
      const { storage } = fixture
      const { sessionId, chainId } = await plant(fixture)
      const ended = existing(await storage.getChain(chainId))
      expect(ended.archivedAt).toBeUndefined()
      const late = storage.createStep(chainId, { action: 'late' })
      await refusal(late, ConflictError, 'STORAGE_TRANSITION')
      expect(await storage.updateChain(chainId, { summary: 'in time' })).toMatchObject({ summary: 'in time' })
      const due = existing(ended.completedAt).getTime() + 200
      await until(() => Date.now() > due, 'its time has come')
      const swept = await Promise.all(Array.from({ length: 6 }, () => storage.sweep()))
      expect(swept.reduce((sum, { archived }) => sum + archived, 0)).toBe(1)
      const chain = existing(await storage.getChain(chainId))
      expect(existing(chain.archivedAt).getTime()).toBeGreaterThanOrEqual(due)
      expect(chain.summary).toBe('in time')
      expect(
        typesOf(await fixture.eventsOf({ sessionId })).filter((type) => type === 'chain:archived'),
      ).toHaveLength(1)
      await refusal(storage.updateChain(chainId, { summary: 'late' }), ConflictError, 'STORAGE_ARCHIVED')
      expect(await storage.sweep()).toMatchObject({ archived: 0 })
    })

    it('is left alone if it was revived before', async () => {
      const { storage } = fixture
      const { chainId, steps } = await plant(fixture)
      await storage.updateStep(existing(steps[1]), { status: 'in_progress' })
      const started = Date.now()
      await until(() => Date.now() > started + 250, 'its time has come')
      await storage.sweep()
      expect(existing(await storage.getChain(chainId))).toMatchObject({ status: 'in_progress' })
      expect(existing(await storage.getChain(chainId)).archivedAt).toBeUndefined()
    })
  })
}
