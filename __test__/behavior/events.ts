import { describe, expect, it } from 'vitest'
import type { Event } from '../support/flowkeep.js'
import { NotFoundError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { nextMoment } from '../support/until.js'
import { existing, type Fixture, newUser, type Subject, useFixture } from './fixture.js'

const typesOf = (events: readonly Event[]) => events.map((event) => event.type)

/** Appends `count` events of the caller's own and returns them. */
async function note(fixture: Fixture, sessionId: string, count: number, name = 'note'): Promise<Event[]> {
  const noted: Event[] = []
  for (let n = 0; n < count; n++) {
    noted.push(await fixture.storage.appendEvent(sessionId, { type: `custom:${name}`, data: { n } }))
  }
  return noted
}

/** What each operation appends to the log of a session. */
const appended: readonly [
  name: string,
  types: string[],
  act: (fixture: Fixture, ids: Ids) => Promise<unknown>,
][] = [
  [
    'updateSession',
    ['session:updated'],
    (f, ids) => f.storage.updateSession(ids.sessionId, { title: 'other' }),
  ],
  [
    'updateSession to paused',
    ['session:paused'],
    (f, ids) => f.storage.updateSession(ids.sessionId, { state: 'paused' }),
  ],
  ['createChain', ['chain:created'], (f, ids) => f.storage.createChain(ids.sessionId, { title: 'next' })],
  ['updateChain', ['chain:updated'], (f, ids) => f.storage.updateChain(ids.chainId, { summary: 'short' })],
  ['deleteChain', ['chain:deleted'], (f, ids) => f.storage.deleteChain(ids.chainId)],
  [
    'createStep',
    ['chain:updated', 'step:created'],
    (f, ids) => f.storage.createStep(ids.chainId, { action: 'next' }),
  ],
  ['updateStep', ['step:updated'], (f, ids) => f.storage.updateStep(ids.stepId, { inputs: { a: 1 } })],
  [
    'start',
    ['chain:started', 'step:started'],
    (f, ids) => f.storage.updateStep(ids.stepId, { status: 'in_progress' }),
  ],
  [
    'skip',
    ['chain:archived', 'chain:completed', 'step:skipped'],
    (f, ids) => f.storage.updateStep(ids.stepId, { status: 'skipped' }),
  ],
  [
    'fail',
    ['chain:archived', 'chain:failed', 'step:failed'],
    (f, ids) => f.storage.updateStep(ids.stepId, { status: 'failed' }),
  ],
  ['deleteStep', ['chain:updated', 'step:deleted'], (f, ids) => f.storage.deleteStep(ids.stepId)],
  ['appendEvent', ['custom:own'], (f, ids) => f.storage.appendEvent(ids.sessionId, { type: 'custom:own' })],
  ['getSession', [], (f, ids) => f.storage.getSession(ids.sessionId)],
  ['listChains', [], (f, ids) => f.storage.listChains(ids.sessionId)],
  ['events', [], (f, ids) => f.storage.events({ sessionId: ids.sessionId })],
  ['an update of nothing', [], (f, ids) => f.storage.updateStep(ids.stepId, { status: 'pending' })],
]

interface Ids {
  sessionId: string
  chainId: string
  stepId: string
}

/** The log of a session and the feed of a user. */
export function events(subject: Subject): void {
  describe('events', () => {
    const fixture = useFixture(subject)

    it('begin with the creation of the session', async () => {
      const session = await fixture.session()
      const [event, ...more] = await fixture.eventsOf({ sessionId: session.sessionId })
      expect(more).toEqual([])
      expect(event).toEqual({
        eventId: expect.any(String),
        type: 'session:created',
        sessionId: session.sessionId,
        userId: session.userId,
        at: session.createdAt,
        data: expect.any(Object),
      })
    })

    it.each(appended)('of %s: %j', async (_, types, act) => {
      const step = await fixture.step()
      expect(await fixture.typesOf(step.sessionId, () => act(fixture, step))).toEqual(types)
    })

    it('name the records that they are about', async () => {
      const step = await fixture.step()
      const log = await fixture.eventsOf({ sessionId: step.sessionId })
      const created = existing(log.find((event) => event.type === 'step:created'))
      expect(created).toMatchObject({
        sessionId: step.sessionId,
        chainId: step.chainId,
        stepId: step.stepId,
        at: step.createdAt,
      })
      const chain = existing(log.find((event) => event.type === 'chain:created'))
      expect(chain).toMatchObject({ chainId: step.chainId })
      expect('stepId' in chain).toBe(false)
    })

    it('are as many about a record as its version says', async () => {
      const chain = await fixture.chainOf(['completed', 'failed', 'skipped'])
      await fixture.storage.updateSession(chain.sessionId, { title: 'other' })
      const log = await fixture.eventsOf({ sessionId: chain.sessionId })
      const about = (match: (event: Event) => boolean) => log.filter(match).length
      const session = existing(await fixture.storage.getSession(chain.sessionId))
      expect(about((event) => event.chainId === undefined)).toBe(session.version)
      // The write that ends a chain archives it as well: one version, and a second event that says so.
      const ofChain = (event: Event) => event.chainId === chain.chainId && event.stepId === undefined
      expect(about((event) => ofChain(event) && event.type !== 'chain:archived')).toBe(chain.version)
      expect(about((event) => ofChain(event) && event.type === 'chain:archived')).toBe(1)
      for (const step of await fixture.storage.listSteps(chain.chainId)) {
        expect(about((event) => event.stepId === step.stepId)).toBe(step.version)
      }
    })

    it('are in the order of the changes, with ids in that order', async () => {
      const { sessionId } = await fixture.session()
      const noted = await note(fixture, sessionId, 30)
      const log = await fixture.eventsOf({ sessionId })
      expect(log.slice(1)).toEqual(noted)
      const ids = log.map((event) => event.eventId)
      expect([...ids].sort()).toEqual(ids)
      expect(new Set(ids).size).toBe(31)
    })

    it('of the caller carry data, and leave every record as it was', async () => {
      const session = await fixture.session()
      const data = { list: [1, { a: null }], text: 'é' }
      const event = await fixture.storage.appendEvent(session.sessionId, { type: 'custom:mine', data })
      expect(event).toMatchObject({
        type: 'custom:mine',
        data,
        sessionId: session.sessionId,
        userId: session.userId,
      })
      expect(event.at.getTime()).toBeGreaterThanOrEqual(session.createdAt.getTime())
      expect(existing(await fixture.storage.getSession(session.sessionId)).version).toBe(1)
      const bare = await fixture.storage.appendEvent(session.sessionId, { type: 'custom:bare' })
      expect(bare.data).toEqual({})
    })

    it('of the caller never make a session', async () => {
      const { sessionId, userId } = await fixture.session()
      await fixture.storage.deleteSession(sessionId)
      const late = fixture.storage.appendEvent(sessionId, { type: 'custom:late' })
      await refusal(late, NotFoundError, 'STORAGE_NOT_FOUND')
      expect(typesOf(await fixture.eventsOf({ userId })).at(-1)).toBe('session:deleted')
    })

    it('come in pages without a hole or a duplicate', async () => {
      const { sessionId } = await fixture.session()
      await note(fixture, sessionId, 10)
      const whole = await fixture.eventsOf({ sessionId })
      for (const limit of [1, 2, 3, 7, 11, 50]) {
        const paged: Event[] = []
        let page = await fixture.storage.events({ sessionId, limit })
        while (page.items.length > 0) {
          expect(page.items.length).toBeLessThanOrEqual(limit)
          paged.push(...page.items)
          page = await fixture.storage.events({ sessionId, limit, cursor: page.cursor })
        }
        expect(paged).toEqual(whole)
      }
    })

    it.each(['sessionId', 'userId'] as const)(
      'can be followed by the cursor of an empty page, by %s',
      async (by) => {
        const session = await fixture.session()
        const query = by === 'userId' ? { userId: session.userId } : { sessionId: session.sessionId }
        let { cursor, items } = await fixture.storage.events(query)
        expect(items).toHaveLength(1)
        for (let round = 0; round < 3; round++) {
          const nothing = await fixture.storage.events({ ...query, cursor })
          expect(nothing.items).toEqual([])
          const noted = await note(fixture, session.sessionId, 2, `round-${round}`)
          const next = await fixture.storage.events({ ...query, cursor: nothing.cursor })
          expect(next.items).toEqual(noted)
          cursor = next.cursor
        }
      },
    )

    it('can be followed from the cursor of an empty feed', async () => {
      const userId = newUser()
      const { cursor, items } = await fixture.storage.events({ userId })
      expect(items).toEqual([])
      await fixture.storage.createSession(userId, {})
      const next = await fixture.storage.events({ userId, cursor })
      expect(typesOf(next.items)).toEqual(['session:created'])
    })

    it('are limited to 100 unless told', async () => {
      const { sessionId } = await fixture.session()
      await Promise.all(
        Array.from({ length: 120 }, () => fixture.storage.appendEvent(sessionId, { type: 'custom:many' })),
      )
      expect((await fixture.storage.events({ sessionId })).items).toHaveLength(100)
      expect((await fixture.storage.events({ sessionId, limit: 1000 })).items).toHaveLength(121)
    })

    it('are filtered by type before they are limited', async () => {
      const { sessionId } = await fixture.session()
      await note(fixture, sessionId, 5, 'common')
      const [rare] = await note(fixture, sessionId, 1, 'rare')
      await note(fixture, sessionId, 5, 'common')
      const first = await fixture.storage.events({ sessionId, types: ['custom:rare'], limit: 1 })
      expect(first.items).toEqual([rare])
      const next = await fixture.storage.events({
        sessionId,
        types: ['custom:rare'],
        limit: 1,
        cursor: first.cursor,
      })
      expect(next.items).toEqual([])
      const both = await fixture.storage.events({ sessionId, types: ['custom:rare', 'session:created'] })
      expect(typesOf(both.items)).toEqual(['session:created', 'custom:rare'])
    })

    it('are bounded by ids, both exclusive', async () => {
      const { sessionId } = await fixture.session()
      const noted = await note(fixture, sessionId, 6)
      const after = existing(noted[1]).eventId
      const before = existing(noted[4]).eventId
      expect((await fixture.storage.events({ sessionId, after })).items).toEqual(noted.slice(2))
      expect((await fixture.storage.events({ sessionId, after, before })).items).toEqual(noted.slice(2, 4))
      const all = await fixture.eventsOf({ sessionId })
      expect((await fixture.storage.events({ sessionId, before })).items).toEqual(all.slice(0, 5))
    })

    it.each(['sessionId', 'userId'] as const)('are bounded by times, both exclusive, by %s', async (by) => {
      const session = await fixture.session()
      const noted: Event[] = []
      for (let i = 0; i < 4; i++) {
        await nextMoment()
        noted.push(...(await note(fixture, session.sessionId, 1)))
      }
      const query = by === 'userId' ? { userId: session.userId } : { sessionId: session.sessionId }
      const after = existing(noted[0]).at
      const before = existing(noted[3]).at
      expect((await fixture.storage.events({ ...query, after })).items).toEqual(noted.slice(1))
      expect((await fixture.storage.events({ ...query, after, before })).items).toEqual(noted.slice(1, 3))
      expect((await fixture.storage.events({ ...query, after: before })).items).toEqual([])
      expect((await fixture.storage.events({ ...query, before: session.createdAt })).items).toEqual([])
    })

    it('of all sessions of a user make one feed, in order', async () => {
      const { storage } = fixture
      const userId = newUser()
      const one = await storage.createSession(userId, {})
      const two = await storage.createSession(userId, {})
      await fixture.session()
      await note(fixture, one.sessionId, 1, 'one')
      await note(fixture, two.sessionId, 1, 'two')
      const feed = await fixture.eventsOf({ userId })
      expect(typesOf(feed)).toEqual(['session:created', 'session:created', 'custom:one', 'custom:two'])
      expect(feed.map((event) => event.sessionId)).toEqual(
        [one, two, one, two].map((session) => session.sessionId),
      )
      expect(new Set(feed.map((event) => event.userId))).toEqual(new Set([userId]))
    })
  })

  describe('the feed of a user', () => {
    const fixture = useFixture(subject)

    it('tells its followers that a session was deleted', async () => {
      const { storage } = fixture
      const session = await fixture.session()
      const { userId, sessionId } = session
      const kept = await storage.createSession(userId, {})
      const { cursor } = await storage.events({ userId })
      await storage.deleteSession(sessionId)
      const { items } = await storage.events({ userId, cursor })
      expect(items).toMatchObject([{ type: 'session:deleted', sessionId, userId }])
      const feed = await fixture.eventsOf({ userId })
      expect(feed.at(-1)).toEqual(items[0])
      expect(feed.filter((event) => event.sessionId === kept.sessionId)).toHaveLength(1)
    })
  })

  describe('a long log', () => {
    const fixture = useFixture(subject)

    it('keeps its last 10,000 events and says that it was trimmed', { timeout: 120_000 }, async () => {
      const { sessionId } = await fixture.session()
      const total = 10_500
      for (let n = 0; n < total; n += 500) {
        const batch = Array.from({ length: 500 }, (_, i) => n + i)
        await Promise.all(
          batch.map((i) => fixture.storage.appendEvent(sessionId, { type: 'custom:n', data: { n: i } })),
        )
      }
      const log = await fixture.eventsOf({ sessionId })
      const [marker, ...rest] = log
      expect(existing(marker).type).toBe('log:trimmed')
      expect(typesOf(rest)).not.toContain('log:trimmed')
      expect(log.length).toBeLessThanOrEqual(10_001)
      expect(rest.length).toBeGreaterThanOrEqual(9_000)
      const last = rest.map((event) => (event.data as { n: number }).n)
      expect(last).toEqual(Array.from({ length: rest.length }, (_, i) => total - rest.length + i))
    })
  })
}
