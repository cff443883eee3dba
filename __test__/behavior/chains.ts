import { describe, expect, it } from 'vitest'
import { ConflictError, NotFoundError, ValidationError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { existing, type Subject, useFixture } from './fixture.js'

const noSteps = { total: 0, pending: 0, inProgress: 0, completed: 0, failed: 0, skipped: 0 }

/** Chains: their defaults, their times, and what goes with them. */
export function chains(subject: Subject): void {
  describe('chains', () => {
    const fixture = useFixture(subject)

    it('begin pending and without steps', async () => {
      const { sessionId } = await fixture.session()
      const chain = await fixture.storage.createChain(sessionId, { title: 'build' })
      expect(chain).toEqual({
        chainId: expect.any(String),
        sessionId,
        title: 'build',
        status: 'pending',
        stepOrder: [],
        stepCounts: noSteps,
        metadata: {},
        createdAt: expect.any(Date),
        updatedAt: expect.any(Date),
        version: 1,
      })
    })

    it.each(['flow', 'composed', 'meta-task'] as const)(
      'keep everything that they were given, from %s',
      async (source) => {
        const data = { title: 'build', source, summary: '', metadata: { a: [{}] } }
        const chain = await fixture.chain(data)
        expect(chain).toMatchObject(data)
        expect(await fixture.storage.getChain(chain.chainId)).toEqual(chain)
      },
    )

    it('leave the record of their session as it was', async () => {
      const session = await fixture.session({ title: 'same' })
      const { chainId } = await fixture.storage.createChain(session.sessionId, { title: 'one' })
      await fixture.storage.createStep(chainId, { action: 'one' })
      const { expiresAt: _, ...after } = existing(await fixture.storage.getSession(session.sessionId))
      const { expiresAt: __, ...before } = session
      expect(after).toEqual(before)
    })

    it('note when they start and when they end', async () => {
      const { chainId, createdAt } = await fixture.chain()
      const started = await fixture.storage.updateChain(chainId, { status: 'in_progress' })
      expect(existing(started.startedAt).getTime()).toBeGreaterThanOrEqual(createdAt.getTime())
      expect('completedAt' in started).toBe(false)
      const ended = await fixture.storage.updateChain(chainId, { status: 'completed' })
      expect(ended.startedAt).toEqual(started.startedAt)
      expect(existing(ended.completedAt).getTime()).toBeGreaterThanOrEqual(
        existing(started.startedAt).getTime(),
      )
    })

    it.each(['completed', 'failed', 'cancelled'] as const)(
      'take no step once they are %s',
      async (status) => {
        const { chainId } = await fixture.chainIn(status)
        const late = fixture.storage.createStep(chainId, { action: 'late' })
        const error = await refusal(late, ConflictError, 'STORAGE_ARCHIVED')
        expect(error.outcome).toBe('not-applied')
        expect(await fixture.storage.listSteps(chainId)).toEqual([])
      },
    )

    it('take their steps with them', async () => {
      const { storage } = fixture
      const session = await fixture.session()
      const kept = await storage.createChain(session.sessionId, { title: 'kept' })
      const keptStep = await storage.createStep(kept.chainId, { action: 'kept' })
      const chain = await storage.createChain(session.sessionId, { title: 'gone' })
      const steps = await Promise.all(
        ['a', 'b'].map((action) => storage.createStep(chain.chainId, { action })),
      )
      const types = await fixture.typesOf(session.sessionId, () => storage.deleteChain(chain.chainId))
      expect(types).toEqual(['chain:deleted'])
      expect(await storage.getChain(chain.chainId)).toBeNull()
      for (const step of steps) expect(await storage.getStep(step.stepId)).toBeNull()
      await refusal(storage.listSteps(chain.chainId), NotFoundError, 'STORAGE_NOT_FOUND')
      expect((await storage.listChains(session.sessionId)).map((one) => one.chainId)).toEqual([kept.chainId])
      expect(await storage.listSteps(kept.chainId)).toEqual([keptStep])
    })

    it('need a title', async () => {
      const { sessionId } = await fixture.session()
      for (const title of ['', 'x'.repeat(501)]) {
        const error = await refusal(
          fixture.storage.createChain(sessionId, { title }),
          ValidationError,
          'STORAGE_INVALID',
        )
        expect(error.issues.map((issue) => issue.path)).toEqual([['title']])
      }
      expect(await fixture.storage.listChains(sessionId)).toEqual([])
    })
  })
}
