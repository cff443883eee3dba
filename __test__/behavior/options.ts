import { describe, expect, it } from 'vitest'
import { ClosedError, StorageError } from '../support/flowkeep.js'
import { everyMethod, type Ids } from '../support/methods.js'
import { uniquePrefix } from '../support/redis.js'
import { invalidPaths, refusal, rejection } from '../support/refusal.js'
import { existing, type Fixture, newUser, type Subject, useFixture } from './fixture.js'

async function plant(fixture: Fixture): Promise<Ids> {
  const userId = newUser()
  const { sessionId } = await fixture.storage.createSession(userId, {})
  const { chainId } = await fixture.storage.createChain(sessionId, { title: 'one' })
  const { stepId } = await fixture.storage.createStep(chainId, { action: 'one' })
  return { userId, sessionId, chainId, stepId }
}

/** All that can be seen of a user. */
async function everything(fixture: Fixture, { userId }: Ids): Promise<unknown> {
  const { storage } = fixture
  const sessions = await storage.listSessions(userId)
  const chains = await Promise.all(sessions.map((session) => storage.listChains(session.sessionId)))
  const steps = await Promise.all(chains.flat().map((chain) => storage.listSteps(chain.chainId)))
  return { sessions, chains, steps, events: await fixture.eventsOf({ userId }) }
}

/** What every call takes: a signal and a deadline; and what a storage is: its prefix, its end. */
export function options(subject: Subject): void {
  describe('a signal', () => {
    const fixture = useFixture(subject)

    it.each(everyMethod)('that is aborted already stops $name before it does anything', async ({ call }) => {
      const ids = await plant(fixture)
      const before = await everything(fixture, ids)
      const reason = new Error('the user went away')
      const error = await rejection(call(fixture.storage, ids, { signal: AbortSignal.abort(reason) }))
      expect([error, (error as Error).cause]).toContain(reason)
      expect(await everything(fixture, ids)).toEqual(before)
    })

    it.each(everyMethod)('that is never aborted leaves $name alone', async ({ call }) => {
      const ids = await plant(fixture)
      const { signal } = new AbortController()
      await expect(call(fixture.storage, ids, { signal, timeoutMs: 10_000 })).resolves.not.toThrow()
    })

    it('that is aborted on the way settles the call, and later calls are served', async () => {
      const ids = await plant(fixture)
      const controller = new AbortController()
      const call = fixture.storage.updateSession(
        ids.sessionId,
        { title: 'maybe' },
        { signal: controller.signal },
      )
      controller.abort()
      const [result] = await Promise.allSettled([call])
      const session = existing(await fixture.storage.getSession(ids.sessionId))
      if (result.status === 'fulfilled') expect(session).toEqual(result.value)
      else expect([undefined, 'maybe']).toContain(session.title)
    })

    it('that is aborted after the answer changes nothing', async () => {
      const controller = new AbortController()
      const session = await fixture.storage.createSession(newUser(), {}, { signal: controller.signal })
      controller.abort()
      expect(await fixture.storage.getSession(session.sessionId)).toEqual(session)
    })

    it('keeps the handler that its owner gave it', async () => {
      const controller = new AbortController()
      let heard = 0
      controller.signal.onabort = () => heard++
      await fixture.storage.createSession(newUser(), {}, { signal: controller.signal })
      controller.abort()
      expect(heard).toBe(1)
    })
  })

  describe('a timeout', () => {
    const fixture = useFixture(subject)

    it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, '100', null])(
      'of %j is refused',
      async (timeoutMs) => {
        const { sessionId } = await fixture.session()
        const call = fixture.storage.getSession(sessionId, { timeoutMs: timeoutMs as number })
        expect(await invalidPaths(call)).toEqual([['options', 'timeoutMs']])
      },
    )

    it.each([1, 2000, 86_400_000])('of %d ms is taken', async (timeoutMs) => {
      const { sessionId } = await fixture.session()
      const [result] = await Promise.allSettled([fixture.storage.getSession(sessionId, { timeoutMs })])
      if (result.status === 'fulfilled') expect(result.value).toMatchObject({ sessionId })
      else expect([timeoutMs < 2000, result.reason.code]).toEqual([true, 'STORAGE_TIMEOUT'])
    })

    it.each([2 ** 31, 2 ** 32 + 1, Number.MAX_VALUE])('of %d ms does not run over', async (timeoutMs) => {
      const { sessionId } = await fixture.session()
      const [result] = await Promise.allSettled([fixture.storage.getSession(sessionId, { timeoutMs })])
      if (result.status === 'fulfilled') expect(result.value).toMatchObject({ sessionId })
      else
        expect(result.reason).toMatchObject({
          code: 'STORAGE_INVALID',
          issues: [{ path: ['options', 'timeoutMs'] }],
        })
    })
  })

  describe('a prefix', () => {
    it('parts two storages', async () => {
      const [one, other] = await Promise.all([
        subject.open({ prefix: `${uniquePrefix()}one:` }),
        subject.open({ prefix: `${uniquePrefix()}other:` }),
      ])
      try {
        const userId = newUser()
        const session = await one.createSession(userId, { title: 'mine' })
        const chain = await one.createChain(session.sessionId, { title: 'mine' })
        const kept = await one.getSession(session.sessionId)
        expect(await other.getSession(session.sessionId)).toBeNull()
        expect(await other.getChain(chain.chainId)).toBeNull()
        expect(await other.listSessions(userId)).toEqual([])
        expect((await other.events({ userId })).items).toEqual([])
        await other.deleteSession(session.sessionId)
        expect(kept).toMatchObject({ title: 'mine' })
        expect(await one.getSession(session.sessionId)).toEqual(kept)
      } finally {
        await Promise.all([one.close(), other.close()])
      }
    })
  })

  describe('a closed storage', () => {
    it('refuses every call', async () => {
      const storage = await subject.open()
      const userId = newUser()
      const { sessionId } = await storage.createSession(userId, {})
      const { chainId } = await storage.createChain(sessionId, { title: 'one' })
      const { stepId } = await storage.createStep(chainId, { action: 'one' })
      expect((await storage.status()).state).toBe('healthy')
      await storage.close()
      for (const { call } of everyMethod) {
        const error = await refusal(
          call(storage, { userId, sessionId, chainId, stepId }),
          ClosedError,
          'STORAGE_CLOSED',
        )
        expect(error.outcome).toBe('not-applied')
      }
      expect((await storage.status()).state).toBe('closed')
    })

    it('may be closed again, and at the end of a block', async () => {
      const storage = await subject.open()
      expect(await Promise.all([storage.close(), storage.close()])).toEqual([undefined, undefined])
      expect(await storage.close()).toBeUndefined()
      const disposed = await subject.open()
      expect(await disposed[Symbol.asyncDispose]()).toBeUndefined()
      await refusal(disposed.listSessions('ann'), ClosedError, 'STORAGE_CLOSED')
    })

    it('settles what was on its way', async () => {
      const storage = await subject.open()
      const calls = Array.from({ length: 50 }, () => storage.createSession(newUser(), {}))
      const closed = storage.close()
      const results = await Promise.allSettled(calls)
      await closed
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(StorageError)
        else expect(result.value.version).toBe(1)
      }
    })
  })

  describe('the status', () => {
    const fixture = useFixture(subject)

    it('is a plain object that counts what was done', async () => {
      const before = await fixture.storage.status()
      const { sessionId } = await fixture.session()
      await fixture.storage.getSession(sessionId)
      const after = await fixture.storage.status()
      expect(after).toMatchObject({ state: 'healthy', pending: 0, lastError: null })
      expect(after.backend).toMatch(/^(memory|redis)$/)
      expect(after.operations).toBeGreaterThanOrEqual(before.operations + 2)
      expect(Object.getPrototypeOf(after)).toBe(Object.prototype)
      expect(structuredClone(after)).toEqual(after)
    })

    it('can tell what the server holds, where it is asked to', async () => {
      await fixture.session()
      const { keys, memoryBytes, ...rest } = await fixture.storage.status({ server: true })
      expect(keys).toBeGreaterThan(0)
      expect(memoryBytes === null || Number(memoryBytes) > 0).toBe(true)
      expect(Object.keys(await fixture.storage.status())).toEqual(Object.keys(rest))
    })
  })
}
