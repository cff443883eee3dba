import { describe, expect, it } from 'vitest'
import type { Event, IStorage } from '../support/flowkeep.js'
import { nextMoment, until } from '../support/until.js'
import { existing, newUser, type Subject, useFixture } from './fixture.js'

/** A session with two chains and their steps, with idempotency keys. */
async function plant(storage: IStorage, userId: string, key: string): Promise<string> {
  const { sessionId } = await storage.createSession(userId, { tags: ['x'] }, { idempotencyKey: key })
  for (const title of ['one', 'two']) {
    const { chainId } = await storage.createChain(sessionId, { title }, { idempotencyKey: title })
    const { stepId } = await storage.createStep(chainId, { action: 'act' }, { idempotencyKey: 'step' })
    await storage.updateStep(stepId, { status: 'in_progress' })
    await storage.updateStep(stepId, { status: title === 'one' ? 'completed' : 'failed' })
  }
  return sessionId
}

const typesOf = (events: readonly Event[]) => events.map((event) => event.type)

/** How sessions end, and what is left of a user. */
export function life(subject: Subject): void {
  describe('erasing a user', () => {
    const fixture = useFixture(subject)

    it('leaves nothing of the user, and all of the others', async () => {
      const { storage } = fixture
      const [gone, kept] = [newUser(), newUser()]
      const keptId = await plant(storage, kept, 'kept')
      const before = (await subject.keys?.()) ?? []
      const ids: string[] = []
      for (let n = 0; n < 70; n++) ids.push((await storage.createSession(gone, {})).sessionId)
      for (let n = 0; n < 3; n++) ids.push(await plant(storage, gone, `key ${n}`))
      await storage.updateSession(existing(ids[0]), { state: 'paused' })
      await storage.updateSession(existing(ids[1]), { state: 'completed' })
      expect(await storage.eraseUser(gone)).toEqual({ sessions: 73 })
      expect(((await subject.keys?.()) ?? []).sort()).toEqual([...before].sort())
      expect(await storage.listSessions(gone)).toEqual([])
      expect(await storage.sessionCounts(gone)).toEqual({ total: 0, active: 0, paused: 0, completed: 0 })
      expect((await storage.events({ userId: gone })).items).toEqual([])
      for (const id of ids) expect(await storage.getSession(id)).toBeNull()
      expect(await storage.listChains(keptId)).toHaveLength(2)
      expect(await fixture.eventsOf({ userId: kept })).not.toEqual([])
    })

    it('frees the idempotency keys', async () => {
      const userId = newUser()
      const first = await plant(fixture.storage, userId, 'again')
      await fixture.storage.eraseUser(userId)
      expect(await plant(fixture.storage, userId, 'again')).not.toBe(first)
    })

    it('is no error for a user that nobody knows, and can be repeated', async () => {
      const userId = newUser()
      expect(await fixture.storage.eraseUser(userId)).toEqual({ sessions: 0 })
      await fixture.session({}, userId)
      expect(await fixture.storage.eraseUser(userId)).toEqual({ sessions: 1 })
      expect(await fixture.storage.eraseUser(userId)).toEqual({ sessions: 0 })
    })

    it('goes on where a call with too short a time has ended', async () => {
      const userId = newUser()
      await Promise.all(Array.from({ length: 2_000 }, () => fixture.session({}, userId)))
      let calls = 1
      for (; ; calls++) {
        const erased = fixture.storage.eraseUser(userId, { timeoutMs: 1 })
        const done = await erased.then(
          () => true,
          (error) => {
            expect(error).toMatchObject({ code: 'STORAGE_TIMEOUT', retryable: true })
            return false
          },
        )
        if (done || calls > 5_000) break
      }
      expect(await fixture.storage.listSessions(userId)).toEqual([])
      expect((await fixture.storage.events({ userId })).items).toEqual([])
    })
  })

  describe('counts of sessions', () => {
    const fixture = useFixture(subject)

    it('follow every change of a state', async () => {
      const { storage } = fixture
      const userId = newUser()
      const counts = () => storage.sessionCounts(userId)
      expect(await counts()).toEqual({ total: 0, active: 0, paused: 0, completed: 0 })
      const [a, b, c] = await Promise.all([1, 2, 3].map(() => fixture.session({}, userId)))
      expect(await counts()).toEqual({ total: 3, active: 3, paused: 0, completed: 0 })
      await storage.updateSession(existing(a).sessionId, { state: 'paused' })
      await storage.updateSession(existing(b).sessionId, { state: 'completed' })
      await storage.updateSession(existing(b).sessionId, { title: 'still' })
      expect(await counts()).toEqual({ total: 3, active: 1, paused: 1, completed: 1 })
      await storage.updateSession(existing(a).sessionId, { state: 'active' })
      await storage.deleteSession(existing(b).sessionId)
      expect(await counts()).toEqual({ total: 2, active: 2, paused: 0, completed: 0 })
      await storage.updateSession(existing(c).sessionId, { state: 'completed' })
      expect(await storage.listSessions(userId)).toHaveLength(2)
      expect(existing(await counts())).toMatchObject({ total: 2, completed: 1 })
    })

    it('keep the order of a list whatever the states are', async () => {
      const userId = newUser()
      const ids: string[] = []
      for (let n = 0; n < 12; n++) {
        const { sessionId } = await fixture.session({}, userId)
        ids.push(sessionId)
        const state = (['active', 'paused', 'completed'] as const)[n % 3]
        if (state !== 'active') await fixture.storage.updateSession(sessionId, { state: existing(state) })
      }
      const listed = async (options: object) =>
        (await fixture.storage.listSessions(userId, options)).map((session) => session.sessionId as string)
      expect(await listed({})).toEqual(ids)
      expect(await listed({ limit: 5 })).toEqual(ids.slice(0, 5))
      expect(await listed({ order: 'desc', limit: 7 })).toEqual([...ids].reverse().slice(0, 7))
    })
  })

  describe('the end of a session', () => {
    const fixture = useFixture(subject, { sessionTtlSeconds: 0.25, sweepSeconds: 0 })
    const gone = (id: string) =>
      until(async () => (await fixture.storage.getSession(id)) === null, 'the session has expired')

    it('is noted once, in the feed of its user, whoever looks', async () => {
      const { storage } = fixture
      const userId = newUser()
      const ids: string[] = []
      for (let n = 0; n < 5; n++) ids.push(await plant(storage, userId, `key ${n}`))
      for (const id of ids) await gone(id)
      await Promise.all(Array.from({ length: 8 }, () => storage.sweep()))
      const expired = (await fixture.eventsOf({ userId })).filter((event) => event.type === 'session:expired')
      expect(expired.map((event) => event.sessionId as string).sort()).toEqual([...ids].sort())
      expect(expired.every((event) => event.userId === userId && event.at instanceof Date)).toBe(true)
      expect(await storage.sessionCounts(userId)).toMatchObject({ total: 0 })
      expect(await storage.sweep()).toEqual({ expired: 0, lost: 0, archived: 0, compacted: 0 })
    })

    it('is noted by a list as well', async () => {
      const userId = newUser()
      const { sessionId } = await fixture.session({}, userId)
      await gone(sessionId)
      expect(await fixture.storage.listSessions(userId)).toEqual([])
      expect(await fixture.storage.sessionCounts(userId)).toMatchObject({ total: 0 })
      await fixture.storage.sweep()
      expect(typesOf(await fixture.eventsOf({ userId }))).toEqual(['session:created', 'session:expired'])
    })

    it('is not noted as long as writes draw it out', async () => {
      const userId = newUser()
      const session = await fixture.session({}, userId)
      const first = existing(session.expiresAt).getTime()
      while (Date.now() <= first + 30) {
        await fixture.storage.touchSession(session.sessionId)
        await fixture.storage.sweep()
        await nextMoment()
      }
      expect(typesOf(await fixture.eventsOf({ userId }))).toEqual(['session:created'])
      await gone(session.sessionId)
      await fixture.storage.sweep()
      expect(typesOf(await fixture.eventsOf({ userId }))).toEqual(['session:created', 'session:expired'])
    })

    it('is not noted of what was deleted or erased', async () => {
      const [deleted, erased] = [newUser(), newUser()]
      const session = await fixture.session({}, deleted)
      await fixture.storage.deleteSession(session.sessionId)
      const other = await fixture.session({}, erased)
      await fixture.storage.eraseUser(erased)
      await until(() => Date.now() > existing(other.expiresAt).getTime(), 'the deadlines have passed')
      await fixture.storage.sweep()
      expect(typesOf(await fixture.eventsOf({ userId: deleted }))).toEqual([
        'session:created',
        'session:deleted',
      ])
      expect(await fixture.eventsOf({ userId: erased })).toEqual([])
    })

    it('leaves no key but the feed', async () => {
      const userId = newUser()
      await gone(await plant(fixture.storage, userId, 'a key'))
      await fixture.storage.sweep()
      // What is archived has a life of its own, and the list and the index of what is due lead to it.
      const left = ((await subject.keys?.()) ?? []).filter((key) => !/\}:[faud]:/.test(key))
      expect(left).toEqual([])
      await fixture.storage.eraseUser(userId)
      expect(((await subject.keys?.()) ?? []).filter((key) => key.includes(userId))).toEqual([])
    })
  })

  describe('the idempotency key of a session', () => {
    const fixture = useFixture(subject, { sessionTtlSeconds: 0.4 })

    it('lives as long as the session does, not only to its first deadline', async () => {
      const userId = newUser()
      const create = () => fixture.storage.createSession(userId, {}, { idempotencyKey: 'one' })
      const session = await create()
      const first = existing(session.expiresAt).getTime()
      await until(async () => {
        await fixture.storage.touchSession(session.sessionId)
        return Date.now() > first + 50
      }, 'the first deadline has passed')
      expect((await create()).sessionId).toBe(session.sessionId)
    })
  })

  describe('the sweep in the background', () => {
    const fixture = useFixture(subject, { sessionTtlSeconds: 0.05, sweepSeconds: 0.01 })

    it('notes the end by itself', async () => {
      const userId = newUser()
      await fixture.session({}, userId)
      await until(
        async () => typesOf(await fixture.eventsOf({ userId })).includes('session:expired'),
        'the end is noted',
      )
    })
  })
}
