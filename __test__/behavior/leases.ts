import { describe, expect, it } from 'vitest'
import { ConflictError, type Step, ValidationError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { until } from '../support/until.js'
import { existing, type Subject, useFixture } from './fixture.js'

/** Running steps do not become zombies. */
export function leases(subject: Subject): void {
  describe('a lease', () => {
    const fixture = useFixture(subject, { sweepSeconds: 0 })
    const start = (step: Step, leaseSeconds: number, onLost?: 'fail' | 'retry') =>
      fixture.storage.updateStep(
        step.stepId,
        { status: 'in_progress' },
        { leaseSeconds, ...(onLost ? { onLost } : {}) },
      )
    /** Sweeps until the step is what it is to be; how many steps were found lost. */
    async function lose(step: Step, status: Step['status']): Promise<number> {
      let lost = 0
      await until(async () => {
        const swept = await Promise.all([1, 2, 3, 4].map(() => fixture.storage.sweep()))
        lost += swept.reduce((sum, one) => sum + one.lost, 0)
        return (await fixture.storage.getStep(step.stepId))?.status === status
      }, 'the lease has run out')
      return lost
    }

    it('that runs out makes the step failed, once, and its chain follows', async () => {
      const { storage } = fixture
      const step = await fixture.step()
      const started = await start(step, 0.05)
      expect(started).toMatchObject({ status: 'in_progress', attempt: 1 })
      expect(await lose(step, 'failed')).toBe(1)
      const lost = existing(await storage.getStep(step.stepId))
      expect(lost).toMatchObject({
        status: 'failed',
        error: 'lost',
        attempt: 1,
        version: started.version + 1,
      })
      expect(existing(lost.completedAt).getTime()).toBeGreaterThanOrEqual(
        existing(started.startedAt).getTime() + 50,
      )
      expect(existing(await storage.getChain(step.chainId))).toMatchObject({ status: 'failed' })
      const events = await fixture.eventsOf({ sessionId: step.sessionId })
      const failed = events.filter((event) => event.type === 'step:failed')
      expect(failed.map((event) => event.data)).toEqual([expect.objectContaining({ error: 'lost' })])
      expect(await storage.sweep()).toMatchObject({ lost: 0 })
      expect(existing(await storage.replay(step.sessionId)).steps).toEqual([lost])
    })

    it("gives the step back with onLost: 'retry', as its next attempt", async () => {
      const { storage } = fixture
      const step = await fixture.step()
      await start(step, 0.05, 'retry')
      expect(await lose(step, 'pending')).toBe(1)
      const back = existing(await storage.getStep(step.stepId))
      expect(back).toMatchObject({ status: 'pending', attempt: 2 })
      expect([back.startedAt, back.completedAt, back.error]).toEqual([undefined, undefined, undefined])
      expect(existing(await storage.getChain(step.chainId))).toMatchObject({
        status: 'in_progress',
        stepCounts: { total: 1, pending: 1, inProgress: 0, completed: 0, failed: 0, skipped: 0 },
      })
      expect(existing(await storage.replay(step.sessionId)).steps).toEqual([back])
      const again = await start(step, 3600, 'retry')
      expect(again).toMatchObject({ status: 'in_progress', attempt: 2 })
    })

    it('is drawn out by heartbeats, which change nothing else', async () => {
      const { storage } = fixture
      const step = await fixture.step()
      const started = await start(step, 0.4)
      const events = await fixture.eventsOf({ sessionId: step.sessionId })
      const first = existing(started.startedAt).getTime() + 400
      await until(async () => {
        expect(await storage.heartbeatStep(step.stepId)).toEqual(started)
        expect(await storage.sweep()).toMatchObject({ lost: 0 })
        return Date.now() > first + 100
      }, 'the first lease would be over')
      expect(await fixture.eventsOf({ sessionId: step.sessionId })).toEqual(events)
      expect(await storage.getStep(step.stepId)).toEqual(started)
      expect(await lose(step, 'failed')).toBe(1)
    })

    it('ends with the step', async () => {
      const { storage } = fixture
      const step = await fixture.step()
      const kept = await storage.createStep(step.chainId, { action: 'left' })
      await start(step, 0.05)
      const done = await storage.updateStep(step.stepId, { status: 'completed', result: 1 })
      const over = Date.now() + 60
      await until(() => Date.now() > over, 'the lease would be over')
      expect(await storage.sweep()).toMatchObject({ lost: 0 })
      expect(await storage.getStep(step.stepId)).toEqual(done)
      expect(existing(await storage.getStep(kept.stepId)).status).toBe('pending')
    })

    it('is none where none was asked for', async () => {
      const { storage } = fixture
      const step = await fixture.stepIn('in_progress')
      expect(await storage.sweep()).toMatchObject({ lost: 0 })
      const late = await refusal(storage.heartbeatStep(step.stepId), ConflictError, 'STORAGE_TRANSITION')
      expect(late).toMatchObject({ from: 'in_progress', to: 'in_progress', current: step })
      // A lease can be taken later.
      const leased = await start(step, 3600)
      expect(await storage.heartbeatStep(step.stepId)).toEqual(leased)
    })

    it('once lost, refuses every late word with the transition that it attempted', async () => {
      const { storage } = fixture
      const step = await fixture.step()
      const { attempt } = await start(step, 0.05)
      await lose(step, 'failed')
      const late = async (call: Promise<unknown>, from: string, to: string) =>
        expect(await refusal(call, ConflictError, 'STORAGE_TRANSITION')).toMatchObject({ from, to })
      await late(storage.updateStep(step.stepId, { status: 'completed', result: 1 }), 'failed', 'completed')
      await late(storage.heartbeatStep(step.stepId), 'failed', 'in_progress')
      const running = { leaseSeconds: 60, ifAttempt: attempt }
      await late(storage.updateStep(step.stepId, { status: 'in_progress' }, running), 'failed', 'in_progress')
      // Another worker takes it up: the first one still changes nothing.
      const retried = await start(step, 3600)
      expect(retried.attempt).toBe(2)
      const ifAttempt = attempt
      await late(
        storage.updateStep(step.stepId, { status: 'completed' }, { ifAttempt }),
        'in_progress',
        'completed',
      )
      await late(storage.heartbeatStep(step.stepId, { ifAttempt }), 'in_progress', 'in_progress')
      expect(await storage.getStep(step.stepId)).toEqual(retried)
      const own = { ifAttempt: retried.attempt }
      expect(await storage.heartbeatStep(step.stepId, own)).toEqual(retried)
      expect(await storage.updateStep(step.stepId, { status: 'completed' }, own)).toMatchObject({
        status: 'completed',
      })
    })

    it('refuses the late word also where the step is pending again', async () => {
      const { storage } = fixture
      const step = await fixture.step()
      const { attempt } = await start(step, 0.05, 'retry')
      await lose(step, 'pending')
      const late = storage.updateStep(step.stepId, { status: 'completed' })
      expect(await refusal(late, ConflictError, 'STORAGE_TRANSITION')).toMatchObject({
        from: 'pending',
        to: 'completed',
      })
      const running = storage.updateStep(step.stepId, { status: 'in_progress' }, { ifAttempt: attempt })
      expect(await refusal(running, ConflictError, 'STORAGE_TRANSITION')).toMatchObject({
        from: 'pending',
        to: 'in_progress',
      })
    })

    it('belongs to a start, and lasts', async () => {
      const step = await fixture.step()
      const update = (updates: object, options: object) =>
        fixture.storage.updateStep(step.stepId, updates, options)
      for (const [updates, options, path] of [
        [{ action: 'x' }, { leaseSeconds: 1 }, 'leaseSeconds'],
        [{ status: 'skipped' }, { leaseSeconds: 1 }, 'leaseSeconds'],
        [{ status: 'in_progress' }, { leaseSeconds: 0 }, 'leaseSeconds'],
        [{ status: 'in_progress' }, { leaseSeconds: -1 }, 'leaseSeconds'],
        [{ status: 'in_progress' }, { onLost: 'retry' }, 'onLost'],
        [{ status: 'in_progress' }, { leaseSeconds: 1, onLost: 'never' }, 'onLost'],
        [{ status: 'in_progress' }, { ifAttempt: 0 }, 'ifAttempt'],
      ] as const) {
        const error = await refusal(update(updates, options), ValidationError, 'STORAGE_INVALID')
        expect((error as ValidationError).issues.map((issue) => issue.path)).toEqual([['options', path]])
      }
      expect(await fixture.storage.getStep(step.stepId)).toEqual(step)
      expect(await update(() => ({ status: 'in_progress' }) as never, {})).toMatchObject({})
    })

    it('can be taken by a function of the current record', async () => {
      const { storage } = fixture
      const step = await fixture.step()
      const started = await storage.updateStep(
        step.stepId,
        (current) => ({ status: current.status === 'pending' ? 'in_progress' : 'completed' }),
        { leaseSeconds: 3600 },
      )
      expect(await storage.heartbeatStep(step.stepId)).toEqual(started)
    })
  })

  describe('a lease in a session that lives for ever', () => {
    const fixture = useFixture(subject, { sessionTtlSeconds: 0, sweepSeconds: 0.02 })

    it('is ended by the background of the storage that gave it', async () => {
      const step = await fixture.step()
      await fixture.storage.updateStep(step.stepId, { status: 'in_progress' }, { leaseSeconds: 0.05 })
      await until(
        async () => (await fixture.storage.getStep(step.stepId))?.error === 'lost',
        'the step is lost',
      )
    })
  })
}
