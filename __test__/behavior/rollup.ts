import { describe, expect, it } from 'vitest'
import type { ChainStatus, StepStatus } from '../support/flowkeep.js'
import { existing, type Subject, useFixture } from './fixture.js'

const P = 'pending'
const R = 'in_progress'
const C = 'completed'
const F = 'failed'
const S = 'skipped'

/** Where the steps stand, each brought there from pending, and where their chain then stands. */
const table: readonly (readonly [readonly StepStatus[], ChainStatus])[] = [
  [[P], 'pending'],
  [[P, P], 'pending'],
  [[S, P], 'pending'],
  [[R], 'in_progress'],
  [[R, P], 'in_progress'],
  [[C, P], 'in_progress'],
  [[F, P], 'in_progress'],
  [[C, R], 'in_progress'],
  [[F, R], 'in_progress'],
  [[S, R, P], 'in_progress'],
  [[C], 'completed'],
  [[C, C, C], 'completed'],
  [[S], 'completed'],
  [[S, S], 'completed'],
  [[C, S], 'completed'],
  [[S, C], 'completed'],
  [[F], 'failed'],
  [[C, F], 'failed'],
  [[F, C], 'failed'],
  [[F, S], 'failed'],
  [[S, F, C], 'failed'],
]

function count(statuses: readonly StepStatus[]) {
  const of = (status: StepStatus) => statuses.filter((one) => one === status).length
  return {
    total: statuses.length,
    pending: of(P),
    inProgress: of(R),
    completed: of(C),
    failed: of(F),
    skipped: of(S),
  }
}

/** What a step's change does to its chain, in the same atomic step. */
export function rollup(subject: Subject): void {
  describe('roll-up', () => {
    const fixture = useFixture(subject)

    it.each(table)('steps %j make a chain %s', async (statuses, status) => {
      const chain = await fixture.chainOf(statuses)
      expect(chain).toMatchObject({ status, stepCounts: count(statuses) })
      expect('completedAt' in chain).toBe(['completed', 'failed'].includes(status))
      if (statuses.includes(R) || statuses.includes(C)) expect(chain.startedAt).toBeInstanceOf(Date)
      if (status === 'pending') expect('startedAt' in chain).toBe(false)
    })

    it.each(table)('steps %j are only counted when the roll-up is off', async (statuses) => {
      const chain = await fixture.chainOf(statuses, { rollup: false })
      expect(chain).toMatchObject({ status: 'pending', stepCounts: count(statuses) })
      expect('completedAt' in chain).toBe(false)
      const types = (await fixture.eventsOf({ sessionId: chain.sessionId })).map((event) => event.type)
      for (const type of ['chain:started', 'chain:completed', 'chain:failed'])
        expect(types).not.toContain(type)
    })

    it('fails a chain whose only step fails before it starts', async () => {
      const { stepId, chainId } = await fixture.step()
      await fixture.storage.updateStep(stepId, { status: 'failed', error: 'no such tool' })
      expect(existing(await fixture.storage.getChain(chainId))).toMatchObject({
        status: 'failed',
        stepCounts: { failed: 1 },
      })
    })

    it('revives a failed chain when its step is retried, and completes it', async () => {
      const chain = await fixture.chainOf([C, F])
      const stepId = existing(chain.stepOrder[1])
      await fixture.storage.updateStep(stepId, { status: 'in_progress' })
      const revived = existing(await fixture.storage.getChain(chain.chainId))
      expect(revived).toMatchObject({ status: 'in_progress', stepCounts: count([C, R]) })
      expect(revived.startedAt).toEqual(chain.startedAt)
      await fixture.storage.updateStep(stepId, { status: 'completed' })
      const ended = existing(await fixture.storage.getChain(chain.chainId))
      expect(ended).toMatchObject({ status: 'completed', stepCounts: count([C, C]) })
    })

    it('notes the start of the first step as the start of the chain, once', async () => {
      const chain = await fixture.chainOf([P, P])
      const first = await fixture.storage.updateStep(existing(chain.stepOrder[0]), { status: 'in_progress' })
      const started = existing(await fixture.storage.getChain(chain.chainId))
      expect(started.startedAt).toEqual(first.startedAt)
      await fixture.storage.updateStep(existing(chain.stepOrder[1]), { status: 'in_progress' })
      expect(existing(await fixture.storage.getChain(chain.chainId)).startedAt).toEqual(started.startedAt)
    })

    it('leaves the chain alone when a step changes in a way that it does not count', async () => {
      const chain = await fixture.chainOf([R, P])
      const stepId = existing(chain.stepOrder[0])
      const types = await fixture.typesOf(chain.sessionId, () =>
        fixture.storage.updateStep(stepId, { action: 'renamed' }),
      )
      expect(types).toEqual(['step:updated'])
      expect(await fixture.storage.getChain(chain.chainId)).toEqual(chain)
    })
  })

  describe('roll-up into a chain that has ended and is not archived yet', () => {
    const fixture = useFixture(subject, { archiveAfterSeconds: 3600 })

    it('leaves a cancelled chain cancelled, and still counts', async () => {
      const chain = await fixture.chainOf([R, P])
      await fixture.storage.updateChain(chain.chainId, { status: 'cancelled' })
      await fixture.moveStep(existing(chain.stepOrder[1]), 'skipped')
      await fixture.storage.updateStep(existing(chain.stepOrder[0]), { status: 'completed' })
      const after = existing(await fixture.storage.getChain(chain.chainId))
      expect(after).toMatchObject({ status: 'cancelled', stepCounts: count([C, S]) })
    })
  })
}
