import { describe, expect, it } from 'vitest'
import type { Event, FeedItem } from '../support/flowkeep.js'
import { UnsupportedError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { nextMoment, until } from '../support/until.js'
import { take } from './feed.js'
import { existing, newUser, type Subject, useFixture } from './fixture.js'

/** Following everybody. */
export function feedOfAll(subject: Subject): void {
  describe('a subscription to all', () => {
    const fixture = useFixture(subject, { feedOfAll: true })

    it('gives what everybody does, each session in order, without a hole or a duplicate', async () => {
      const { storage } = fixture
      const early = storage.subscribe({ all: true, after: 'now' })
      // Nodes of a Cluster are asked side by side: what is begun first need not come first.
      await early.ready()
      const users = Array.from({ length: 20 }, newUser)
      const work = async (userId: string) => {
        const { sessionId } = await storage.createSession(userId, {})
        for (let n = 0; n < 9; n++) await storage.appendEvent(sessionId, { type: 'custom:n', data: { n } })
      }
      const reading = take(early, 200)
      await Promise.all(users.map(work))
      const seen = (await reading) as Event[]
      expect(new Set(seen.map((event) => event.eventId)).size).toBe(200)
      for (const userId of users) {
        const mine = seen.filter((event) => event.userId === userId)
        expect(mine).toEqual(await fixture.eventsOf({ userId }))
      }
      await early.return()
    })

    it('goes on behind the cursor of any item', async () => {
      const { storage } = fixture
      const whole = storage.subscribe({ all: true, after: 'now' })
      await whole.ready()
      const sessions = await Promise.all(Array.from({ length: 5 }, () => fixture.session()))
      for (const { sessionId } of sessions) await storage.appendEvent(sessionId, { type: 'custom:x' })
      const items: FeedItem[] = []
      const cursors: string[] = []
      for (let count = 0; count < 10; count++) {
        items.push(...(await take(whole, 1)))
        cursors.push(existing(whole.cursor))
      }
      await whole.return()
      const ids = (all: readonly FeedItem[]) => (all as Event[]).map((event) => event.eventId).sort()
      for (const [at, cursor] of cursors.entries()) {
        const rest = storage.subscribe({ all: true, after: cursor })
        expect(ids(await take(rest, 9 - at))).toEqual(ids(items.slice(at + 1)))
        await rest.return()
      }
    })

    it('tells no more of a user who was erased, and goes on with the others', async () => {
      const { storage } = fixture
      const [gone, kept] = [newUser(), newUser()]
      for (const userId of [gone, kept, gone]) {
        const { sessionId } = await storage.createSession(userId, {})
        await storage.appendEvent(sessionId, { type: 'custom:x' })
      }
      await storage.eraseUser(gone)
      const { sessionId } = await storage.createSession(kept, {})
      const feed = storage.subscribe({ all: true })
      const seen: Event[] = []
      for await (const item of feed) {
        if (item.type === 'gap') continue
        seen.push(item as Event)
        if (item.sessionId === sessionId) break
      }
      expect(seen.filter((event) => event.userId === gone)).toEqual([])
      const types = seen.filter((event) => event.userId === kept).map((event) => event.type)
      expect(types).toEqual(['session:created', 'custom:x', 'session:created'])
    })

    it('begins at a time', async () => {
      const { storage } = fixture
      const early = await fixture.session()
      await nextMoment()
      const { at } = await storage.appendEvent(early.sessionId, { type: 'custom:last' })
      await nextMoment()
      const late = storage.subscribe({ all: true, after: at })
      const other = await fixture.session()
      const [first] = (await take(late, 1)) as Event[]
      expect(first).toMatchObject({ type: 'session:created', sessionId: other.sessionId })
      await late.return()
    })

    it('keeps what a deleted session did', async () => {
      const { storage } = fixture
      const following = storage.subscribe({ all: true, after: 'now' })
      await following.ready()
      const { sessionId } = await fixture.session()
      await storage.deleteSession(sessionId)
      expect((await take(following, 2)).map((item) => item.type)).toEqual([
        'session:created',
        'session:deleted',
      ])
      await following.return()
    })

    it('is heard by listeners', async () => {
      const { storage } = fixture
      const heard: string[] = []
      const everything: string[] = []
      const off = storage.on('custom:ring', (event) => heard.push(event.sessionId))
      const { userId, sessionId } = await fixture.session()
      const offMine = storage.on('*', (item) => everything.push(item.type), { userId })
      await nextMoment()
      await until(async () => {
        await storage.appendEvent(sessionId, { type: 'custom:ring' })
        return heard.length > 0 && everything.length > 0
      }, 'both listeners hear')
      expect(new Set(heard)).toEqual(new Set([sessionId]))
      expect(new Set(everything)).toEqual(new Set(['custom:ring']))
      off()
      offMine()
      await until(async () => (await storage.status()).pending === 0, 'nobody listens')
      const before = heard.length
      await storage.appendEvent(sessionId, { type: 'custom:ring' })
      await nextMoment()
      expect(heard).toHaveLength(before)
    })
  })

  describe('without a feed of all', () => {
    const fixture = useFixture(subject)

    it('a subscription to all is refused, and a listener told so', async () => {
      const { storage } = fixture
      const following = storage.subscribe({ all: true })
      await refusal(following.next(), UnsupportedError, 'STORAGE_UNSUPPORTED')
      const errors: unknown[] = []
      storage.on('*', () => undefined, { onError: (error) => errors.push(error) })
      await until(() => errors.length > 0, 'the listener is told')
      expect(errors[0]).toBeInstanceOf(UnsupportedError)
    })
  })
}
