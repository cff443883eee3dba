import { describe, expect, it } from 'vitest'
import { NotFoundError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { existing, newUser, type Subject, useFixture } from './fixture.js'

const day = 86_400_000

/** Sessions: their defaults, their users, and what goes with them. */
export function sessions(subject: Subject): void {
  describe('sessions', () => {
    const fixture = useFixture(subject)

    it('begin active, empty and with a deadline in a day', async () => {
      const before = Date.now()
      const session = await fixture.storage.createSession('ann', {})
      const after = Date.now()
      expect(session).toEqual({
        sessionId: expect.any(String),
        userId: 'ann',
        state: 'active',
        tags: [],
        metadata: {},
        createdAt: expect.any(Date),
        updatedAt: expect.any(Date),
        expiresAt: expect.any(Date),
        version: 1,
      })
      expect('title' in session).toBe(false)
      expect(existing(session.expiresAt).getTime()).toBeGreaterThanOrEqual(before + day)
      expect(existing(session.expiresAt).getTime()).toBeLessThanOrEqual(after + day)
    })

    it('keep everything that they were given', async () => {
      const data = { title: 'Tuesday', tags: ['x', 'y', 'x'], metadata: { theme: 'dark', n: [1, 2] } }
      const session = await fixture.storage.createSession('bob', data)
      expect(session).toMatchObject(data)
      expect(await fixture.storage.getSession(session.sessionId)).toEqual(session)
    })

    it.each([
      ['a colon', 'a:b'],
      ['braces', '{42}'],
      ['a pattern', '*?[a-z]\\'],
      ['a line feed', 'one\ntwo\r\n'],
      ['a NUL', 'nul\u0000nul'],
      ['spaces', ' led and trailed '],
      ['composed text', '\u00e9'],
      ['decomposed text', 'e\u0301'],
      ['an emoji 128 times', '\u{1F600}'.repeat(128)],
      ['a name of JavaScript', '__proto__'],
      ['a path', '../../etc/passwd'],
      ['a percent code', '%7B1%7D'],
    ])('serve a user id with %s exactly', async (_, userId) => {
      const session = await fixture.storage.createSession(userId, {})
      expect(session.userId).toBe(userId)
      expect(existing(await fixture.storage.getSession(session.sessionId)).userId).toBe(userId)
      expect(await fixture.storage.listSessions(userId)).toEqual([session])
      const [event] = await fixture.eventsOf({ userId })
      expect(event).toMatchObject({ userId, type: 'session:created' })
    })

    it.each([
      ['a', 'a:b'],
      ['a:b', 'a%3Ab'],
      ['{a}', 'a'],
      ['a*', 'ab'],
      ['é', 'e\u0301'],
      ['A', 'a'],
    ])('of the users %j and %j stay apart', async (one, two) => {
      const tail = newUser()
      const first = await fixture.storage.createSession(one + tail, {})
      const second = await fixture.storage.createSession(two + tail, {})
      expect(await fixture.storage.listSessions(one + tail)).toEqual([first])
      expect(await fixture.storage.listSessions(two + tail)).toEqual([second])
    })

    it('are an empty list for a user without any', async () => {
      expect(await fixture.storage.listSessions(newUser())).toEqual([])
    })

    it('are touched: later deadline, everything else as before', async () => {
      const before = await fixture.session({ title: 'same', metadata: { a: 1 } })
      const after = await fixture.storage.touchSession(before.sessionId)
      expect(after).toMatchObject({
        sessionId: before.sessionId,
        title: 'same',
        metadata: { a: 1 },
        state: 'active',
      })
      expect(existing(after.expiresAt).getTime()).toBeGreaterThanOrEqual(existing(before.expiresAt).getTime())
      expect(await fixture.storage.getSession(before.sessionId)).toEqual(after)
    })

    it('that are gone can be neither touched nor written below', async () => {
      const { sessionId } = await fixture.session()
      await fixture.storage.deleteSession(sessionId)
      const { storage } = fixture
      for (const late of [
        () => storage.touchSession(sessionId),
        () => storage.createChain(sessionId, { title: 'orphan' }),
        () => storage.listChains(sessionId),
        () => storage.appendEvent(sessionId, { type: 'custom:orphan' }),
      ]) {
        await refusal(late(), NotFoundError, 'STORAGE_NOT_FOUND')
      }
    })

    it('take their chains and steps with them', async () => {
      const { storage } = fixture
      const kept = await fixture.step()
      const session = await fixture.session()
      const chain = await storage.createChain(session.sessionId, { title: 'one' })
      const step = await storage.createStep(chain.chainId, { action: 'one' })
      await storage.deleteSession(session.sessionId)
      expect(await storage.getSession(session.sessionId)).toBeNull()
      expect(await storage.getChain(chain.chainId)).toBeNull()
      expect(await storage.getStep(step.stepId)).toBeNull()
      expect(await storage.listSessions(session.userId)).toEqual([])
      await refusal(storage.listSteps(chain.chainId), NotFoundError, 'STORAGE_NOT_FOUND')
      await refusal(
        storage.createStep(chain.chainId, { action: 'orphan' }),
        NotFoundError,
        'STORAGE_NOT_FOUND',
      )
      await refusal(storage.updateStep(step.stepId, { action: 'orphan' }), NotFoundError, 'STORAGE_NOT_FOUND')
      expect(await storage.getStep(kept.stepId)).toEqual(kept)
    })
  })

  describe('a deleted session', () => {
    const fixture = useFixture(subject)

    it('leaves nothing but the feed of its user', async () => {
      const session = await fixture.session()
      const before = (await subject.keys?.()) ?? []
      const options = { idempotencyKey: 'key' }
      const other = await fixture.storage.createSession(session.userId, {}, options)
      const chain = await fixture.storage.createChain(other.sessionId, { title: 'one' }, options)
      for (let i = 0; i < 5; i++) await fixture.storage.createStep(chain.chainId, { action: 'one' })
      await fixture.storage.deleteSession(other.sessionId)
      expect((await subject.keys?.()) ?? []).toEqual(before)
      const types = (await fixture.eventsOf({ userId: session.userId })).map((event) => event.type)
      expect(types.at(-1)).toBe('session:deleted')
      expect(types.filter((type) => type === 'session:deleted')).toHaveLength(1)
    })
  })
}
