import { describe, expect, it } from 'vitest'
import { invalidPaths } from '../support/refusal.js'
import { existing, type Subject, useFixture } from './fixture.js'

/** Steps: their defaults, numbers, attempts and dependencies. */
export function steps(subject: Subject): void {
  describe('steps', () => {
    const fixture = useFixture(subject)

    it('begin pending, at their first attempt', async () => {
      const chain = await fixture.chain()
      const step = await fixture.storage.createStep(chain.chainId, { action: 'compile' })
      expect(step).toEqual({
        stepId: expect.any(String),
        chainId: chain.chainId,
        sessionId: chain.sessionId,
        stepNumber: 1,
        action: 'compile',
        inputs: {},
        waitsFor: [],
        status: 'pending',
        attempt: 1,
        createdAt: expect.any(Date),
        updatedAt: expect.any(Date),
        version: 1,
      })
    })

    it('keep everything that they were given', async () => {
      const { chainId } = await fixture.chain()
      const first = await fixture.storage.createStep(chainId, { action: 'first' })
      const data = { action: 'second', model: 'm-2', inputs: { path: '/' }, waitsFor: [first.stepId] }
      const step = await fixture.storage.createStep(chainId, data)
      expect(step).toMatchObject(data)
      expect(await fixture.storage.getStep(step.stepId)).toEqual(step)
    })

    it('are numbered in the order of their creation, and listed in their chain', async () => {
      const { chainId } = await fixture.chain()
      const made = await Promise.all(
        Array.from({ length: 12 }, (_, i) => fixture.storage.createStep(chainId, { action: `${i}` })),
      )
      expect(made.map((step) => step.stepNumber)).toEqual(made.map((_, i) => i + 1))
      expect(existing(await fixture.storage.getChain(chainId)).stepOrder).toEqual(
        made.map((step) => step.stepId),
      )
    })

    it('never give the number or the id of a deleted step to another', async () => {
      const { chainId } = await fixture.chain()
      await fixture.storage.createStep(chainId, { action: 'one' })
      const second = await fixture.storage.createStep(chainId, { action: 'two' })
      await fixture.storage.deleteStep(second.stepId)
      const third = await fixture.storage.createStep(chainId, { action: 'three' })
      expect(third.stepNumber).toBe(3)
      expect(third.stepId).not.toBe(second.stepId)
      expect(await fixture.storage.getStep(second.stepId)).toBeNull()
    })

    it('leave their chain when they are deleted', async () => {
      const chain = await fixture.chainOf(['completed', 'pending', 'in_progress'])
      const [, gone] = chain.stepOrder
      await fixture.storage.deleteStep(existing(gone))
      const after = existing(await fixture.storage.getChain(chain.chainId))
      expect(after.stepOrder).toEqual(chain.stepOrder.filter((id) => id !== gone))
      expect(after.stepCounts).toEqual({
        total: 2,
        pending: 0,
        inProgress: 1,
        completed: 1,
        failed: 0,
        skipped: 0,
      })
      expect(after.version).toBe(chain.version + 1)
    })

    it('do not complete their chain when the last of them is deleted', async () => {
      const chain = await fixture.chainOf(['pending'])
      await fixture.storage.deleteStep(existing(chain.stepOrder[0]))
      const after = existing(await fixture.storage.getChain(chain.chainId))
      expect(after).toMatchObject({ status: 'pending', stepOrder: [], stepCounts: { total: 0, pending: 0 } })
    })

    it('note when they start and when they end', async () => {
      const { stepId, createdAt } = await fixture.step()
      const started = await fixture.storage.updateStep(stepId, { status: 'in_progress' })
      expect(existing(started.startedAt).getTime()).toBeGreaterThanOrEqual(createdAt.getTime())
      expect('completedAt' in started).toBe(false)
      const ended = await fixture.storage.updateStep(stepId, { status: 'completed', result: { code: 0 } })
      expect(ended.startedAt).toEqual(started.startedAt)
      expect(existing(ended.completedAt).getTime()).toBeGreaterThanOrEqual(
        existing(started.startedAt).getTime(),
      )
      expect(ended).toMatchObject({ result: { code: 0 }, attempt: 1, version: 3 })
    })

    it('count an attempt more with every retry', async () => {
      const { stepId, chainId } = await fixture.step()
      for (let attempt = 1; attempt <= 3; attempt++) {
        const started = await fixture.storage.updateStep(stepId, { status: 'in_progress' })
        expect(started.attempt).toBe(attempt)
        const failed = await fixture.storage.updateStep(stepId, { status: 'failed', error: `no ${attempt}` })
        expect(failed).toMatchObject({ attempt, error: `no ${attempt}` })
      }
      expect(existing(await fixture.storage.getChain(chainId))).toMatchObject({
        status: 'failed',
        stepCounts: { failed: 1 },
      })
    })

    it('start afresh with a retry', async () => {
      const { stepId } = await fixture.step()
      await fixture.storage.updateStep(stepId, { status: 'in_progress' })
      await fixture.storage.updateStep(stepId, { status: 'failed', error: 'no', result: { code: 1 } })
      const retried = await fixture.storage.updateStep(stepId, { status: 'in_progress' })
      for (const name of ['error', 'result', 'completedAt']) expect(name in retried).toBe(false)
      await fixture.storage.updateStep(stepId, { status: 'failed' })
      const given = { status: 'in_progress', error: 'again', result: null } as const
      expect(await fixture.storage.updateStep(stepId, given)).toMatchObject({ ...given, attempt: 3 })
    })

    it.each([
      ['null', null],
      ['false', false],
      ['zero', 0],
      ['an empty text', ''],
      ['a list', [1, [2], {}]],
      ['an object', { a: { b: null } }],
    ])('have %s for a result like any other', async (_, result) => {
      const { stepId } = await fixture.step()
      const after = await fixture.storage.updateStep(stepId, { result })
      expect('result' in after).toBe(true)
      expect(after.result).toEqual(result)
      expect(existing(await fixture.storage.getStep(stepId)).result).toEqual(result)
      const same = await fixture.storage.updateStep(stepId, { result })
      expect(same.version).toBe(after.version)
    })

    it('may wait only for steps of their own chain', async () => {
      const { chainId } = await fixture.chain()
      const first = await fixture.storage.createStep(chainId, { action: 'first' })
      const deleted = await fixture.storage.createStep(chainId, { action: 'deleted' })
      await fixture.storage.deleteStep(deleted.stepId)
      const foreign = await fixture.step()
      const create = (...waitsFor: string[]) =>
        fixture.storage.createStep(chainId, { action: 'next', waitsFor })
      expect(await invalidPaths(create(first.stepId, foreign.stepId))).toEqual([['waitsFor', 1]])
      expect(await invalidPaths(create(deleted.stepId))).toEqual([['waitsFor', 0]])
      expect(await invalidPaths(create('not an id'))).toEqual([['waitsFor', 0]])
      const update = fixture.storage.updateStep(first.stepId, { waitsFor: [foreign.stepId] })
      expect(await invalidPaths(update)).toEqual([['waitsFor', 0]])
      expect(await fixture.storage.listSteps(chainId)).toEqual([first])
    })
  })
}
