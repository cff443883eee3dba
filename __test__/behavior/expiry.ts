import { describe, expect, it } from 'vitest'
import { NotFoundError } from '../support/flowkeep.js'
import { everyMethod, type Ids } from '../support/methods.js'
import { refusal } from '../support/refusal.js'
import { nextMoment, until } from '../support/until.js'
import { existing, type Fixture, type Subject, useFixture } from './fixture.js'

/** A tree of one session, one chain and one step, with its ids. */
async function plant(fixture: Fixture): Promise<Ids> {
  const step = await fixture.step()
  const session = existing(await fixture.storage.getSession(step.sessionId))
  return { userId: session.userId, sessionId: step.sessionId, chainId: step.chainId, stepId: step.stepId }
}

async function deadline(fixture: Fixture, sessionId: string): Promise<number> {
  const session = existing(await fixture.storage.getSession(sessionId))
  return existing(session.expiresAt).getTime()
}

/** Writes below a session that leave it there. */
const inTree = everyMethod.filter(
  ({ name }) => !['createSession', 'deleteSession', 'eraseUser'].includes(name),
)

/** One deadline for the whole tree. */
export function expiry(subject: Subject): void {
  describe('a deadline', () => {
    const fixture = useFixture(subject, { sessionTtlSeconds: 3600 })

    it.each(inTree.filter(({ writes }) => writes))('is moved forward by $name', async ({ call }) => {
      const ids = await plant(fixture)
      const before = await deadline(fixture, ids.sessionId)
      await nextMoment()
      const earliest = Date.now() + 3_600_000
      await call(fixture.storage, ids)
      const after = await deadline(fixture, ids.sessionId)
      expect(after).toBeGreaterThan(before)
      expect(after).toBeGreaterThanOrEqual(earliest)
      expect(after).toBeLessThanOrEqual(Date.now() + 3_600_000)
    })

    it.each(inTree.filter(({ writes }) => !writes))('stays where it was after $name', async ({ call }) => {
      const ids = await plant(fixture)
      const before = await deadline(fixture, ids.sessionId)
      await nextMoment()
      await call(fixture.storage, ids)
      expect(await deadline(fixture, ids.sessionId)).toBe(before)
    })

    it('stays where it was after a refused write', async () => {
      const ids = await plant(fixture)
      const before = await deadline(fixture, ids.sessionId)
      await nextMoment()
      await expect(fixture.storage.updateStep(ids.stepId, { status: 'completed' })).rejects.toThrow()
      await expect(fixture.storage.createChain(ids.sessionId, { title: '' })).rejects.toThrow()
      expect(await deadline(fixture, ids.sessionId)).toBe(before)
    })
  })

  describe('a life for ever', () => {
    const fixture = useFixture(subject, { sessionTtlSeconds: 0 })

    it('has no deadline, whatever is written', async () => {
      const session = await fixture.session()
      expect(session.expiresAt).toBeNull()
      const { chainId } = await fixture.storage.createChain(session.sessionId, { title: 'one' })
      await fixture.storage.createStep(chainId, { action: 'one' })
      expect((await fixture.storage.touchSession(session.sessionId)).expiresAt).toBeNull()
      expect(existing(await fixture.storage.getSession(session.sessionId)).expiresAt).toBeNull()
      const again = await fixture.storage.updateSession(session.sessionId, { expiresAt: null, title: 'kept' })
      expect(again).toMatchObject({ title: 'kept', expiresAt: null })
    })
  })

  describe.each([
    ['shorter than the TTL', { sessionTtlSeconds: 3600, maxSessionLifeSeconds: 60 }, 60_000],
    ['equal to the TTL', { sessionTtlSeconds: 60, maxSessionLifeSeconds: 60 }, 60_000],
    ['of a life for ever', { sessionTtlSeconds: 0, maxSessionLifeSeconds: 60 }, 60_000],
    ['of a fraction of a second more', { sessionTtlSeconds: 3600, maxSessionLifeSeconds: 60.5 }, 60_500],
  ])('a cap %s', (_, options, life) => {
    const fixture = useFixture(subject, options)

    it('is never passed', async () => {
      const session = await fixture.session()
      const cap = session.createdAt.getTime() + life
      expect(existing(session.expiresAt).getTime()).toBe(cap)
      await nextMoment()
      const touched = await fixture.storage.touchSession(session.sessionId)
      expect(existing(touched.expiresAt).getTime()).toBe(cap)
      await fixture.storage.createChain(session.sessionId, { title: 'one' })
      expect(await deadline(fixture, session.sessionId)).toBe(cap)
    })
  })

  describe('a short life', () => {
    const fixture = useFixture(subject, { sessionTtlSeconds: 0.3 })
    const over = (sessionId: string) =>
      until(async () => (await fixture.storage.getSession(sessionId)) === null, 'the session has expired')

    it('ends for the whole tree at once', async () => {
      const ids = await plant(fixture)
      const { storage } = fixture
      await over(ids.sessionId)
      expect(await storage.getChain(ids.chainId)).toBeNull()
      expect(await storage.getStep(ids.stepId)).toBeNull()
      expect(await storage.listSessions(ids.userId)).toEqual([])
      for (const name of [
        'updateSession',
        'touchSession',
        'createChain',
        'updateChain',
        'listChains',
        'createStep',
        'updateStep',
        'listSteps',
        'appendEvent',
      ]) {
        const { call } = existing(everyMethod.find((method) => method.name === name))
        await refusal(call(storage, ids), NotFoundError, 'STORAGE_NOT_FOUND')
      }
      for (const name of ['deleteStep', 'deleteChain', 'deleteSession']) {
        const { call } = existing(everyMethod.find((method) => method.name === name))
        expect(await call(storage, ids)).toBeUndefined()
      }
    })

    it('lasts at least as long as it says', async () => {
      const session = await fixture.session()
      const end = existing(session.expiresAt).getTime()
      expect(end - session.createdAt.getTime()).toBe(300)
      for (;;) {
        const found = await fixture.storage.getSession(session.sessionId)
        const now = Date.now()
        if (now >= end) break
        expect(found).toEqual(session)
      }
    })

    it('is drawn out by writes to its leaves', async () => {
      const ids = await plant(fixture)
      const first = await deadline(fixture, ids.sessionId)
      let n = 0
      while (Date.now() <= first + 50) {
        await fixture.storage.updateStep(ids.stepId, { inputs: { n: ++n } })
        await nextMoment()
      }
      expect(await fixture.storage.getSession(ids.sessionId)).not.toBeNull()
      expect(await fixture.storage.getChain(ids.chainId)).not.toBeNull()
    })

    it('frees the idempotency key with the session', async () => {
      const options = { idempotencyKey: 'again' }
      const first = await fixture.storage.createSession('short-lived', {}, options)
      await over(first.sessionId)
      const second = await fixture.storage.createSession('short-lived', {}, options)
      expect(second.sessionId).not.toBe(first.sessionId)
      expect(await fixture.storage.getSession(second.sessionId)).toEqual(second)
    })
  })
}
