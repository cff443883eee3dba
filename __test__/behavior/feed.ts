import { describe, expect, it } from 'vitest'
import type { Event, FeedItem, Snapshot, Subscription } from '../support/flowkeep.js'
import { ClosedError, NotFoundError, ValidationError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { nextMoment } from '../support/until.js'
import { existing, newUser, type Subject, useFixture } from './fixture.js'

/** Takes the next `count` items. */
export async function take<Item>(feed: Subscription<Item>, count: number): Promise<Item[]> {
  const items: Item[] = []
  while (items.length < count) {
    const { value, done } = await feed.next()
    if (done) throw new Error(`the feed ended after ${items.length} of ${count} items`)
    items.push(value)
  }
  return items
}

const typesOf = (items: readonly FeedItem[]) => items.map((item) => item.type)
const numbersOf = (items: readonly FeedItem[]) => (items as Event[]).map((item) => item.data.n)

/** Following a session or a user. */
export function feed(subject: Subject): void {
  describe('a subscription', () => {
    const fixture = useFixture(subject)
    const note = (sessionId: string, n: number, name = 'n') =>
      fixture.storage.appendEvent(sessionId, { type: `custom:${name}`, data: { n } })

    it.each(['sessionId', 'userId'] as const)('gives what is there, then what comes, by %s', async (by) => {
      const { sessionId, userId } = await fixture.session()
      await note(sessionId, 1)
      const following = fixture.storage.subscribe(by === 'userId' ? { userId } : { sessionId })
      const [created, first] = await take(following, 2)
      expect(created?.type).toBe('session:created')
      expect(numbersOf([existing(first)])).toEqual([1])
      const waiting = take(following, 2)
      const appended = [await note(sessionId, 2), await note(sessionId, 3)]
      expect(await waiting).toEqual(appended)
      await following.return()
    })

    it('is an async iterable that ends by a break', async () => {
      const { sessionId } = await fixture.session()
      const following = fixture.storage.subscribe({ sessionId })
      const seen: string[] = []
      for await (const item of following) {
        seen.push(item.type)
        if (seen.length === 2) break
        await note(sessionId, 1)
      }
      expect(seen).toEqual(['session:created', 'custom:n'])
      expect(await following.next()).toEqual({ value: undefined, done: true })
    })

    it.each(['sessionId', 'userId'] as const)('goes on behind the cursor of any item, by %s', async (by) => {
      const { sessionId, userId } = await fixture.session()
      const query = by === 'userId' ? { userId } : { sessionId }
      for (let n = 0; n < 8; n++) await note(sessionId, n)
      const whole = fixture.storage.subscribe(query)
      const items: FeedItem[] = []
      const cursors: (string | undefined)[] = []
      for (let count = 0; count < 9; count++) {
        items.push(...(await take(whole, 1)))
        cursors.push(whole.cursor)
      }
      await whole.return()
      for (const [at, cursor] of cursors.entries()) {
        const rest = fixture.storage.subscribe({ ...query, after: existing(cursor) })
        expect(await take(rest, 8 - at)).toEqual(items.slice(at + 1))
        await rest.return()
      }
    })

    it('goes on behind a cursor of events', async () => {
      const { sessionId, userId } = await fixture.session()
      for (const query of [{ sessionId }, { userId }]) {
        const { cursor } = await fixture.storage.events(query)
        const following = fixture.storage.subscribe({ ...query, after: cursor })
        const appended = await note(sessionId, 1)
        expect(await take(following, 1)).toEqual([appended])
        const page = await fixture.storage.events({ ...query, cursor: existing(following.cursor) })
        expect(page.items).toEqual([])
        await following.return()
      }
    })

    it('goes on behind an event', async () => {
      const { sessionId } = await fixture.session()
      const events = [await note(sessionId, 1), await note(sessionId, 2), await note(sessionId, 3)]
      const following = fixture.storage.subscribe({ sessionId, after: existing(events[0]).eventId })
      expect(await take(following, 2)).toEqual(events.slice(1))
      await following.return()
    })

    it.each(['sessionId', 'userId'] as const)('begins at a time, by %s', async (by) => {
      const { sessionId, userId } = await fixture.session()
      await nextMoment()
      const early = await note(sessionId, 1)
      await nextMoment()
      const late = await note(sessionId, 2)
      const query = by === 'userId' ? { userId } : { sessionId }
      const following = fixture.storage.subscribe({ ...query, after: early.at })
      expect(await take(following, 1)).toEqual([late])
      await following.return()
    })

    it.each(['sessionId', 'userId'] as const)('begins now, by %s', async (by) => {
      const { sessionId, userId } = await fixture.session()
      await note(sessionId, 1)
      const following = fixture.storage.subscribe({
        ...(by === 'userId' ? { userId } : { sessionId }),
        after: 'now',
      })
      const appended = await note(sessionId, 2)
      expect(await take(following, 1)).toEqual([appended])
      await following.return()
    })

    it('begins now in the feed of a user who has none yet', async () => {
      const userId = newUser()
      const following = fixture.storage.subscribe({ userId, after: 'now' })
      const { sessionId } = await fixture.session({}, userId)
      const [created] = (await take(following, 1)) as Event[]
      expect(created).toMatchObject({ type: 'session:created', sessionId })
      await following.return()
    })

    it('gives the named types only', async () => {
      const { sessionId } = await fixture.session()
      const following = fixture.storage.subscribe({ sessionId, types: ['custom:rare'] })
      await note(sessionId, 1)
      const rare = await note(sessionId, 2, 'rare')
      await note(sessionId, 3)
      const other = await note(sessionId, 4, 'rare')
      expect(await take(following, 2)).toEqual([rare, other])
      await following.return()
    })

    it('gives every event of several writers once and in order', async () => {
      const { sessionId, userId } = await fixture.session()
      const readers = [
        fixture.storage.subscribe({ sessionId, after: 'now' }),
        fixture.storage.subscribe({ userId, after: 'now' }),
      ]
      const taken = readers.map((reader) => take(reader, 400))
      const writer = async (name: string) => {
        for (let n = 0; n < 100; n++) await note(sessionId, n, name)
      }
      await Promise.all(['a', 'b', 'c', 'd'].map(writer))
      const log = (await fixture.eventsOf({ sessionId })).slice(1)
      for (const items of await Promise.all(taken)) expect(items).toEqual(log)
      await Promise.all(readers.map((reader) => reader.return()))
    })

    it('passes on more than one page, in order', async () => {
      const { sessionId } = await fixture.session()
      await Promise.all(Array.from({ length: 700 }, (_, n) => note(sessionId, n)))
      const following = fixture.storage.subscribe({ sessionId })
      const items = await take(following, 701)
      expect(items).toEqual(await fixture.eventsOf({ sessionId }))
      await following.return()
    })

    it('passes on large events', async () => {
      const { sessionId } = await fixture.session()
      const text = 'x'.repeat(200_000)
      for (let n = 0; n < 6; n++) {
        await fixture.storage.appendEvent(sessionId, { type: 'custom:large', data: { n, text } })
      }
      const following = fixture.storage.subscribe({ sessionId })
      expect(numbersOf((await take(following, 7)).slice(1))).toEqual([0, 1, 2, 3, 4, 5])
      await following.return()
    })

    it('ends with its session, having told all', async () => {
      const { sessionId } = await fixture.session()
      const following = fixture.storage.subscribe({ sessionId })
      await take(following, 1)
      await Promise.all([note(sessionId, 1), note(sessionId, 2), fixture.storage.deleteSession(sessionId)])
      const rest: FeedItem[] = []
      for await (const item of following) rest.push(item)
      expect(typesOf(rest)).toEqual(['custom:n', 'custom:n', 'session:deleted'])
    })

    it('goes on behind a cursor in a session that is gone', async () => {
      const { sessionId } = await fixture.session()
      const early = fixture.storage.subscribe({ sessionId })
      await take(early, 1)
      await early.return()
      await note(sessionId, 1)
      await fixture.storage.deleteSession(sessionId)
      const late: FeedItem[] = []
      for await (const item of fixture.storage.subscribe({ sessionId, after: existing(early.cursor) }))
        late.push(item)
      expect(typesOf(late)).toEqual(['custom:n', 'session:deleted'])
    })

    it('tells a user’s followers that a session was deleted', async () => {
      const { sessionId, userId } = await fixture.session()
      const following = fixture.storage.subscribe({ userId, after: 'now' })
      await fixture.storage.deleteSession(sessionId)
      expect(typesOf(await take(following, 1))).toEqual(['session:deleted'])
      await following.return()
    })

    it('of a session that does not exist is refused', async () => {
      const { sessionId } = await fixture.session()
      await fixture.storage.deleteSession(sessionId)
      await refusal(fixture.storage.subscribe({ sessionId }).next(), NotFoundError, 'STORAGE_NOT_FOUND')
      await refusal(fixture.storage.watchSession(sessionId).next(), NotFoundError, 'STORAGE_NOT_FOUND')
    })

    it.each([
      ['nothing', {}],
      ['two wholes', { sessionId: 'ses_00000000000000000000', userId: 'u' }],
      ['no id', { sessionId: 'nobody' }],
      ['a cursor of another feed', { userId: 'u', after: 'l1' }],
      ['no cursor', { userId: 'u', after: 'x' }],
      ['an unknown field', { userId: 'u', from: 1 }],
      ['no type', { userId: 'u', types: ['step'] }],
      ['no signal', { userId: 'u', signal: 1 }],
      ['no object', 'u'],
    ])('refuses %s', async (_, query) => {
      const following = fixture.storage.subscribe(query as never)
      await refusal(following.next(), ValidationError, 'STORAGE_INVALID')
      expect(await following.next()).toEqual({ value: undefined, done: true })
    })

    it('answers calls of next in their order, also those that wait together', async () => {
      const { sessionId } = await fixture.session()
      const following = fixture.storage.subscribe({ sessionId, after: 'now' })
      const waiting = Array.from({ length: 5 }, () => following.next())
      for (let n = 0; n < 5; n++) await note(sessionId, n)
      const items = (await Promise.all(waiting)).map(({ value }) => existing(value))
      expect(numbersOf(items)).toEqual([0, 1, 2, 3, 4])
      await following.return()
    })
  })

  describe('the end of a subscription', () => {
    const fixture = useFixture(subject)

    it('by return settles what waits', async () => {
      const { userId } = await fixture.session()
      const following = fixture.storage.subscribe({ userId, after: 'now' })
      const waiting = [following.next(), following.next()]
      await following.return()
      expect(await Promise.all(waiting)).toEqual(Array(2).fill({ value: undefined, done: true }))
      expect((await fixture.storage.status()).pending).toBe(0)
    })

    it('by an abort rejects with its reason, before and while it waits', async () => {
      const { userId } = await fixture.session()
      const reason = new Error('enough')
      const stop = new AbortController()
      const following = fixture.storage.subscribe({ userId, after: 'now', signal: stop.signal })
      const waiting = following.next()
      stop.abort(reason)
      await expect(waiting).rejects.toBe(reason)
      expect(await following.next()).toEqual({ value: undefined, done: true })
      const late = fixture.storage.subscribe({ userId, signal: AbortSignal.abort(reason) })
      await expect(late.next()).rejects.toBe(reason)
      expect((await fixture.storage.status()).pending).toBe(0)
    })

    it('by closing the storage rejects what waits', async () => {
      const storage = await subject.open()
      const { userId } = await storage.createSession(newUser(), {})
      const following = storage.subscribe({ userId, after: 'now' })
      const waiting = following.next()
      await storage.close()
      await refusal(waiting, ClosedError, 'STORAGE_CLOSED')
      await refusal(storage.subscribe({ userId }).next(), ClosedError, 'STORAGE_CLOSED')
    })
  })

  describe('watching a session', () => {
    const fixture = useFixture(subject)

    it('gives the tree, then what follows it', async () => {
      const { storage } = fixture
      const { sessionId } = await fixture.session({ title: 'T', metadata: { a: 1 } })
      const chains = [
        await storage.createChain(sessionId, { title: 'one' }),
        await storage.createChain(sessionId, { title: 'two' }),
        await storage.createChain(sessionId, { title: 'three' }),
      ]
      for (const { chainId } of chains.slice(0, 2)) {
        for (let n = 0; n < 12; n++) await storage.createStep(chainId, { action: `${n}` })
      }
      const watching = storage.watchSession(sessionId)
      const [snapshot] = (await take(watching, 1)) as Snapshot[]
      const steps = await Promise.all(chains.map(({ chainId }) => storage.listSteps(chainId)))
      expect(snapshot).toEqual({
        type: 'snapshot',
        session: await storage.getSession(sessionId),
        chains: await storage.listChains(sessionId),
        steps: steps.flat(),
      })
      const [step] = steps.flat()
      await storage.updateStep(existing(step).stepId, { status: 'in_progress' })
      const next = (await take(watching, 2)) as Event[]
      expect(next.map((event) => event.type).sort()).toEqual(['chain:started', 'step:started'])
      await watching.return()
    })

    it('is consistent while others write: snapshot and events give the end', async () => {
      const { storage } = fixture
      const { sessionId } = await fixture.session()
      const { chainId } = await storage.createChain(sessionId, { title: 'busy' })
      const write = async () => {
        for (let n = 0; n < 60; n++) await storage.createStep(chainId, { action: `${n}` })
      }
      const writing = Promise.all([write(), write(), storage.appendEvent(sessionId, { type: 'custom:x' })])
      const seen: string[][] = []
      for (let round = 0; round < 5; round++) {
        const watching = storage.watchSession(sessionId)
        const [snapshot] = (await take(watching, 1)) as Snapshot[]
        const known = existing(snapshot).steps.map((step) => step.stepId as string)
        expect(existing(snapshot).chains[0]?.stepCounts.total).toBe(known.length)
        while (known.length < 120) {
          const [event] = (await take(watching, 1)) as Event[]
          if (event?.type === 'step:created') known.push(existing(event.stepId))
        }
        seen.push(known)
        await watching.return()
      }
      await writing
      const all = (await storage.listSteps(chainId)).map((step) => step.stepId)
      for (const known of seen) expect(known).toEqual(all)
    })
  })
}
