import { describe, expect, it } from 'vitest'
import { type Event, type PruneQuery, ValidationError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { nextMoment, until } from '../support/until.js'
import { existing, type Fixture, newUser, type Subject, useFixture } from './fixture.js'

const typesOf = (events: readonly Event[]) => events.map((event) => event.type)

async function note(fixture: Fixture, sessionId: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    await fixture.storage.appendEvent(sessionId, { type: 'custom:note', data: { n } })
  }
}

/** Prunes from the beginning to the end, as many calls as it takes. */
async function prune(fixture: Fixture, olderThan: Date, more: { dryRun?: boolean; limit?: number } = {}) {
  const sum = { sessions: 0, events: 0, running: 0, calls: 0 }
  let cursor: string | null = null
  do {
    const query = { olderThan, perSecond: 1_000_000, ...more, ...(cursor === null ? {} : { cursor }) }
    const pruned = await fixture.storage.pruneEvents(query, { timeoutMs: 20_000 })
    sum.sessions += pruned.sessions
    sum.events += pruned.events
    sum.running += pruned.running
    sum.calls++
    cursor = pruned.cursor
  } while (cursor !== null)
  return sum
}

/** Events have an age and a number, beyond which they go. */
export function pruning(subject: Subject): void {
  describe('pruneEvents', () => {
    const fixture = useFixture(subject, { sweepSeconds: 0 })

    it('drops what is older, says so where it stood, and leaves the rest', async () => {
      const { storage } = fixture
      const userId = newUser()
      const { sessionId } = await fixture.session({}, userId)
      await note(fixture, sessionId, 5)
      await nextMoment()
      const olderThan = new Date()
      await note(fixture, sessionId, 3)
      const before = await fixture.eventsOf({ sessionId })
      expect(await prune(fixture, olderThan, { dryRun: true })).toMatchObject({
        sessions: 1,
        events: 6,
        running: 0,
      })
      expect(await fixture.eventsOf({ sessionId })).toEqual(before)
      expect(await prune(fixture, olderThan)).toMatchObject({ sessions: 1, events: 6, running: 0 })
      const [marker, ...rest] = await fixture.eventsOf({ sessionId })
      expect(marker).toMatchObject({
        type: 'log:trimmed',
        data: { from: before[0]?.eventId, to: before[5]?.eventId, count: 6 },
      })
      expect(rest).toEqual(before.slice(6))
      expect(await fixture.eventsOf({ userId })).toEqual(before.slice(6))
      expect(await prune(fixture, olderThan)).toMatchObject({ sessions: 0, events: 0 })
      for await (const item of storage.subscribe({ sessionId })) {
        expect(item).toMatchObject({ type: 'gap', from: before[0]?.eventId, to: before[5]?.eventId })
        break
      }
      await storage.eraseUser(userId)
    })

    it('leaves the log of a session alone in which a chain runs, and replays it', async () => {
      const { storage } = fixture
      const users = [newUser(), newUser(), newUser()]
      const [running, waiting, done] = await Promise.all(users.map((userId) => fixture.session({}, userId)))
      const chains: string[] = []
      for (const session of [running, waiting, done]) {
        const { chainId } = await storage.createChain(existing(session).sessionId, { title: 'chain' })
        chains.push(chainId)
      }
      await storage.updateChain(existing(chains[0]), { status: 'in_progress' })
      await storage.updateChain(existing(chains[2]), { status: 'failed' })
      await nextMoment()
      const olderThan = new Date()
      const before = await fixture.eventsOf({ sessionId: existing(running).sessionId })
      const tree = await storage.replay(existing(running).sessionId)
      expect(await prune(fixture, olderThan)).toMatchObject({ sessions: 1, running: 2 })
      expect(await fixture.eventsOf({ sessionId: existing(running).sessionId })).toEqual(before)
      expect(await storage.replay(existing(running).sessionId)).toEqual(tree)
      expect(typesOf(await fixture.eventsOf({ sessionId: existing(done).sessionId }))).toEqual([
        'log:trimmed',
      ])
      await storage.updateChain(existing(chains[0]), { status: 'completed' })
      expect(await prune(fixture, olderThan)).toMatchObject({ sessions: 1, running: 1 })
      for (const userId of users) await storage.eraseUser(userId)
    })

    it('goes on where a call has ended', async () => {
      const users = Array.from({ length: 20 }, newUser)
      for (const userId of users) await note(fixture, (await fixture.session({}, userId)).sessionId, 2)
      await nextMoment()
      const sum = await prune(fixture, new Date(), { limit: 3 })
      expect(sum).toMatchObject({ sessions: 20, events: 60 })
      expect(sum.calls).toBeGreaterThanOrEqual(7)
      for (const userId of users) await fixture.storage.eraseUser(userId)
    })

    it('looks at no more sessions a second than it may', async () => {
      const users = Array.from({ length: 12 }, newUser)
      for (const userId of users) await fixture.session({}, userId)
      const from = performance.now()
      let cursor: string | null = null
      do {
        const query: PruneQuery = {
          olderThan: new Date(),
          perSecond: 20,
          ...(cursor === null ? {} : { cursor }),
        }
        cursor = (await fixture.storage.pruneEvents(query, { timeoutMs: 20_000 })).cursor
      } while (cursor !== null)
      expect(performance.now() - from).toBeGreaterThan(500)
      for (const userId of users) await fixture.storage.eraseUser(userId)
    })

    it('judges what it is asked', async () => {
      const { storage } = fixture
      for (const query of [
        {},
        { olderThan: 'yesterday' },
        { olderThan: new Date(), limit: 0 },
        { olderThan: new Date(), cursor: 'x' },
        { olderThan: new Date(), more: 1 },
      ]) {
        await refusal(storage.pruneEvents(query as never), ValidationError, 'STORAGE_INVALID')
      }
    })
  })

  describe('a cap on the number of events', () => {
    const fixture = useFixture(subject, { maxEvents: 5 })

    it('keeps the latest ones and tells of the others', async () => {
      const { sessionId } = await fixture.session()
      await note(fixture, sessionId, 9)
      const [marker, ...rest] = await fixture.eventsOf({ sessionId })
      expect(marker).toMatchObject({ type: 'log:trimmed', data: { count: 5 } })
      expect(rest.map((event) => event.data.n)).toEqual([4, 5, 6, 7, 8])
    })
  })

  describe('a cap on the age of events', () => {
    const fixture = useFixture(subject, { eventTtlSeconds: 1, sessionTtlSeconds: 0, sweepSeconds: 0 })

    it('is kept by the sweep, in a session that lives for ever', async () => {
      const userId = newUser()
      const { sessionId } = await fixture.session({}, userId)
      await note(fixture, sessionId, 2)
      await until(async () => {
        await fixture.storage.sweep()
        return typesOf(await fixture.eventsOf({ sessionId })).join() === 'log:trimmed'
      }, 'the events have come of age')
      expect(await fixture.storage.getSession(sessionId)).not.toBeNull()
      await note(fixture, sessionId, 1)
      expect(typesOf(await fixture.eventsOf({ sessionId }))).toEqual(['log:trimmed', 'custom:note'])
    })
  })
}
