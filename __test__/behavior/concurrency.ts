import { describe, expect, it } from 'vitest'
import { existing, type Subject, useFixture } from './fixture.js'

/** Many calls at once from one process. */
export function concurrency(subject: Subject): void {
  describe('concurrency', () => {
    const fixture = useFixture(subject)

    it('keeps parallel updates of different fields', async () => {
      const { storage } = fixture
      const { stepId } = await fixture.step()
      await Promise.all([
        storage.updateStep(stepId, { action: 'new action' }),
        storage.updateStep(stepId, { model: 'new model' }),
        storage.updateStep(stepId, { inputs: { new: true } }),
        storage.updateStep(stepId, { status: 'in_progress' }),
        storage.updateStep(stepId, { result: [1, 2] }),
        storage.updateStep(stepId, { error: 'new error' }),
      ])
      expect(existing(await storage.getStep(stepId))).toMatchObject({
        action: 'new action',
        model: 'new model',
        inputs: { new: true },
        status: 'in_progress',
        result: [1, 2],
        error: 'new error',
        version: 7,
      })
    })

    it('counts all steps that end at once, and completes their chain once', async () => {
      const { storage } = fixture
      const chain = await fixture.chainOf(Array.from({ length: 64 }, () => 'in_progress' as const))
      await Promise.all(chain.stepOrder.map((stepId) => storage.updateStep(stepId, { status: 'completed' })))
      const ended = existing(await storage.getChain(chain.chainId))
      expect(ended).toMatchObject({
        status: 'completed',
        stepCounts: { total: 64, completed: 64, inProgress: 0 },
      })
      const types = (await fixture.eventsOf({ sessionId: chain.sessionId })).map((event) => event.type)
      expect(types.filter((type) => type === 'chain:completed')).toHaveLength(1)
      expect(types.filter((type) => type === 'step:completed')).toHaveLength(64)
      const changes = types.filter((type) => type.startsWith('chain:') && type !== 'chain:archived')
      expect(ended.version).toBe(changes.length)
      expect(types.filter((type) => type === 'chain:archived')).toHaveLength(1)
    })

    it('starts a chain once, however many steps start at once', async () => {
      const chain = await fixture.chainOf(Array.from({ length: 16 }, () => 'pending' as const))
      await Promise.all(
        chain.stepOrder.map((id) => fixture.storage.updateStep(id, { status: 'in_progress' })),
      )
      const types = (await fixture.eventsOf({ sessionId: chain.sessionId })).map((event) => event.type)
      expect(types.filter((type) => type === 'chain:started')).toHaveLength(1)
    })

    it('numbers steps without a hole or a duplicate', async () => {
      const { chainId } = await fixture.chain()
      await Promise.all(
        Array.from({ length: 100 }, (_, i) => fixture.storage.createStep(chainId, { action: `${i}` })),
      )
      const steps = await fixture.storage.listSteps(chainId)
      expect(steps.map((step) => step.stepNumber)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
      const chain = existing(await fixture.storage.getChain(chainId))
      expect(chain.stepOrder).toEqual(steps.map((step) => step.stepId))
      expect(chain.stepCounts).toMatchObject({ total: 100, pending: 100 })
    })

    it('lets one of two opposite moves win', async () => {
      const { stepId, sessionId } = await fixture.stepIn('in_progress')
      const results = await Promise.allSettled([
        fixture.storage.updateStep(stepId, { status: 'completed' }),
        fixture.storage.updateStep(stepId, { status: 'failed' }),
      ])
      expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected'])
      const lost = existing(results.find((result) => result.status === 'rejected'))
      expect(lost.reason).toMatchObject({ code: 'STORAGE_TRANSITION' })
      const types = (await fixture.eventsOf({ sessionId })).map((event) => event.type)
      expect(types.filter((type) => ['step:completed', 'step:failed'].includes(type))).toHaveLength(1)
    })

    it('leaves no orphan when a session is deleted under the hands of its writers', async () => {
      const { storage } = fixture
      for (let round = 0; round < 10; round++) {
        const session = await fixture.session()
        const results = await Promise.allSettled([
          ...Array.from({ length: 5 }, () => storage.createChain(session.sessionId, { title: 'race' })),
          storage.deleteSession(session.sessionId),
          ...Array.from({ length: 5 }, () => storage.createChain(session.sessionId, { title: 'race' })),
        ])
        expect(await storage.getSession(session.sessionId)).toBeNull()
        for (const result of results) {
          if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'STORAGE_NOT_FOUND' })
          else if (result.value) expect(await storage.getChain(result.value.chainId)).toBeNull()
        }
        expect(await storage.listSessions(session.userId)).toEqual([])
      }
    })

    it('answers in the order of the calls on one record', async () => {
      const { sessionId } = await fixture.session()
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          fixture.storage.updateSession(sessionId, { title: `title ${i}` }),
        ),
      )
      expect(answers.map((answer) => answer.version).sort((a, b) => a - b)).toEqual(
        answers.map((_, i) => i + 2),
      )
      const last = existing(await fixture.storage.getSession(sessionId))
      expect(last).toEqual(answers.find((answer) => answer.version === 21))
    })
  })
}
