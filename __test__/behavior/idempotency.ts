import { describe, expect, it } from 'vitest'
import { type Subject, useFixture } from './fixture.js'
import { idOf, kinds } from './kinds.js'

/** `createX` with an `idempotencyKey`: the same record, once. */
export function idempotency(subject: Subject): void {
  describe.each(kinds)('idempotency: $name', (kind) => {
    const fixture = useFixture(subject)
    const create = (parent: string, idempotencyKey: string, text = 'once') =>
      kind.create(fixture.storage, parent, text, { idempotencyKey })

    it('gives the same record for the same key', async () => {
      const parent = await kind.newParent(fixture)
      const first = await create(parent, 'key')
      expect(await create(parent, 'key')).toEqual(first)
      expect(await kind.list(fixture.storage, parent)).toEqual([first])
    })

    it('appends one event', async () => {
      const parent = await kind.newParent(fixture)
      const first = await create(parent, 'key')
      const before = await fixture.eventsOf({ sessionId: first.sessionId })
      await create(parent, 'key')
      expect(await fixture.eventsOf({ sessionId: first.sessionId })).toEqual(before)
      const created = before.filter((event) => event.type === `${kind.name.toLowerCase()}:created`)
      expect(created).toHaveLength(1)
    })

    it('gives one record to many at once', async () => {
      const parent = await kind.newParent(fixture)
      const made = await Promise.all(Array.from({ length: 20 }, () => create(parent, 'key')))
      expect(new Set(made.map((record) => idOf(kind, record))).size).toBe(1)
      expect(await kind.list(fixture.storage, parent)).toHaveLength(1)
    })

    it('keeps apart the keys of one parent', async () => {
      const parent = await kind.newParent(fixture)
      const made = [
        await create(parent, 'a'),
        await create(parent, 'A'),
        await create(parent, 'a '),
        await create(parent, 'a:b'),
      ]
      expect(new Set(made.map((record) => idOf(kind, record))).size).toBe(4)
      expect(await kind.list(fixture.storage, parent)).toEqual(made)
    })

    it('keeps apart the parents of one key', async () => {
      const first = await create(await kind.newParent(fixture), 'key')
      const second = await create(await kind.newParent(fixture), 'key')
      expect(idOf(kind, second)).not.toBe(idOf(kind, first))
    })

    it('is not asked for: without a key every call makes a record', async () => {
      const parent = await kind.newParent(fixture)
      await kind.create(fixture.storage, parent, 'same')
      await kind.create(fixture.storage, parent, 'same')
      expect(await kind.list(fixture.storage, parent)).toHaveLength(2)
    })

    it.each(['x'.repeat(128), '{a}:*?', '\u{1F600}'.repeat(128), 'line\nfeed\u0000'])(
      'takes the key %j',
      async (key) => {
        const parent = await kind.newParent(fixture)
        expect(await create(parent, key)).toEqual(await create(parent, key))
      },
    )

    it.each(['', 'x'.repeat(129)])('refuses the key %j', async (key) => {
      const parent = await kind.newParent(fixture)
      await expect(create(parent, key)).rejects.toMatchObject({
        code: 'STORAGE_INVALID',
        issues: [{ path: ['options', 'idempotencyKey'] }],
      })
      expect(await kind.list(fixture.storage, parent)).toEqual([])
    })
  })

  describe('idempotency of a tree', () => {
    const fixture = useFixture(subject)

    it('does not mix up a session, a chain and a step with one key', async () => {
      const options = { idempotencyKey: 'same' }
      const { storage } = fixture
      const session = await storage.createSession('one-key', { title: 'a session' }, options)
      const chain = await storage.createChain(session.sessionId, { title: 'a chain' }, options)
      const step = await storage.createStep(chain.chainId, { action: 'a step' }, options)
      expect(await storage.createSession('one-key', { title: 'a session' }, options)).toMatchObject({
        title: 'a session',
      })
      expect(await storage.createChain(session.sessionId, { title: 'a chain' }, options)).toMatchObject({
        chainId: chain.chainId,
      })
      expect(await storage.createStep(chain.chainId, { action: 'a step' }, options)).toMatchObject({
        stepId: step.stepId,
      })
    })
  })
}
