import { describe, expect, it } from 'vitest'
import { NotFoundError, ValidationError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { existing, type Subject, useFixture } from './fixture.js'
import { createOne, field, idOf, type Kind, kinds, stored } from './kinds.js'

const clearable: Readonly<Record<Kind['name'], Readonly<Record<string, unknown>>>> = {
  Session: { title: 'set' },
  Chain: { source: 'flow', summary: 'set' },
  Step: { model: 'set', error: 'set' },
}

const mergeable: Readonly<Record<Kind['name'], Readonly<Record<string, unknown>>>> = {
  Session: { title: 'other', tags: ['a', 'b'], metadata: { a: 1 }, state: 'paused' },
  Chain: { title: 'other', source: 'meta-task', summary: 'short', metadata: { a: 1 }, status: 'in_progress' },
  Step: {
    action: 'other',
    model: 'm-1',
    inputs: { a: 1 },
    result: [1, null],
    error: 'went wrong',
    status: 'in_progress',
  },
}

/** Fields that a write may change beside those that it names. */
const moving = ['version', 'updatedAt', 'expiresAt', 'startedAt', 'completedAt']

const without = (record: object, names: readonly string[]) =>
  Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)))

/** What is true of sessions, chains and steps alike: create, get, update, delete. */
export function records(subject: Subject): void {
  describe.each(kinds)('a record: $name', (kind) => {
    const fixture = useFixture(subject)

    it('is given back by get as create gave it', async () => {
      const record = await createOne(kind, fixture)
      expect(await kind.get(fixture.storage, idOf(kind, record))).toEqual(record)
      expect(field(record, kind.text)).toBe('first')
      expect(record.version).toBe(1)
      expect(record.updatedAt).toEqual(record.createdAt)
    })

    it('is created at the present time', async () => {
      const before = Date.now()
      const record = await createOne(kind, fixture)
      expect(record.createdAt).toBeInstanceOf(Date)
      expect(record.createdAt.getTime()).toBeGreaterThanOrEqual(before)
      expect(record.createdAt.getTime()).toBeLessThanOrEqual(Date.now())
    })

    it('has an id that is a string of its own, ordered by creation', async () => {
      const parent = await kind.newParent(fixture)
      const ids: string[] = []
      for (let i = 0; i < 20; i++) ids.push(idOf(kind, await kind.create(fixture.storage, parent, 'next')))
      expect(new Set(ids).size).toBe(20)
      expect([...ids].sort()).toEqual(ids)
      for (const id of ids) expect(id).toMatch(/^[a-z0-9_]{8,128}$/)
    })

    it('names its parent', async () => {
      const parent = await kind.newParent(fixture)
      expect(field(await kind.create(fixture.storage, parent, 'child'), kind.parent)).toBe(parent)
    })

    it('is null for get when it is gone, and an error for update', async () => {
      const id = idOf(kind, await createOne(kind, fixture))
      await kind.remove(fixture.storage, id)
      expect(await kind.get(fixture.storage, id)).toBeNull()
      const update = (updates: object) => kind.update(fixture.storage, id, { ...updates })
      await refusal(update({ [kind.text]: 'late' }), NotFoundError, 'STORAGE_NOT_FOUND')
      await refusal(update({}), NotFoundError, 'STORAGE_NOT_FOUND')
      const asked: unknown[] = []
      const byFunction = kind.update(fixture.storage, id, (current) => {
        asked.push(current)
        return {}
      })
      await refusal(byFunction, NotFoundError, 'STORAGE_NOT_FOUND')
      expect(asked).toEqual([])
    })

    it('is deleted once, and deleting it again changes nothing', async () => {
      const record = await createOne(kind, fixture)
      const id = idOf(kind, record)
      expect(await kind.remove(fixture.storage, id)).toBeUndefined()
      const userId =
        'userId' in record
          ? record.userId
          : existing(await fixture.storage.getSession(record.sessionId)).userId
      const events = await fixture.eventsOf({ userId })
      expect(await kind.remove(fixture.storage, id)).toBeUndefined()
      expect(await fixture.eventsOf({ userId })).toEqual(events)
    })

    it.each(Object.entries(mergeable[kind.name]))(
      'takes %s alone, and leaves the other fields',
      async (name, value) => {
        const before = await createOne(kind, fixture)
        const after = await kind.update(fixture.storage, idOf(kind, before), { [name]: value })
        expect(field(after, name)).toEqual(value)
        expect(after.version).toBe(2)
        expect(after.updatedAt.getTime()).toBeGreaterThanOrEqual(before.updatedAt.getTime())
        expect(without(after, [...moving, name])).toEqual(without(before, [...moving, name]))
        expect(await stored(kind, fixture, idOf(kind, before))).toEqual(after)
      },
    )

    it('takes all fields at once', async () => {
      const id = idOf(kind, await createOne(kind, fixture))
      const after = await kind.update(fixture.storage, id, mergeable[kind.name])
      expect(after).toMatchObject(mergeable[kind.name])
      expect(after.version).toBe(2)
    })

    it('merges shallowly: an object replaces the one before', async () => {
      const id = idOf(kind, await createOne(kind, fixture))
      await kind.update(fixture.storage, id, { [kind.json]: { a: 1, deep: { x: 1, y: 2 } } })
      const after = await kind.update(fixture.storage, id, { [kind.json]: { deep: { y: 3 } } })
      expect(field(after, kind.json)).toEqual({ deep: { y: 3 } })
    })

    it.each(Object.entries(clearable[kind.name]))(
      'clears %s by null, and keeps it by undefined',
      async (name, value) => {
        const id = idOf(kind, await createOne(kind, fixture))
        await kind.update(fixture.storage, id, { [name]: value })
        const kept = await kind.update(fixture.storage, id, { [name]: undefined })
        expect(field(kept, name)).toBe(value)
        const cleared = await kind.update(fixture.storage, id, { [name]: null })
        expect(name in cleared).toBe(false)
        expect(name in (await stored(kind, fixture, id))).toBe(false)
      },
    )

    it('refuses null where a field has to be', async () => {
      const id = idOf(kind, await createOne(kind, fixture))
      for (const name of [kind.json, kind.status, ...(kind.name === 'Session' ? ['tags'] : [kind.text])]) {
        const error = await refusal(
          kind.update(fixture.storage, id, { [name]: null }),
          ValidationError,
          'STORAGE_INVALID',
        )
        expect(error.issues.map((issue) => issue.path)).toEqual([[name]])
      }
    })

    it('takes its own fields back unchanged', async () => {
      const before = await createOne(kind, fixture)
      const after = await kind.update(fixture.storage, idOf(kind, before), {
        ...before,
        [kind.text]: 'again',
      })
      expect(field(after, kind.text)).toBe('again')
      expect(after.version).toBe(2)
    })

    it.each(kind.immutable)('refuses another %s', async (name) => {
      const before = await createOne(kind, fixture)
      const value = field(before, name)
      const other = changed(value)
      const update = kind.update(fixture.storage, idOf(kind, before), { [kind.text]: 'again', [name]: other })
      const error = await refusal(update, ValidationError, 'STORAGE_INVALID')
      expect(error.issues[0]?.path[0]).toBe(name)
      expect(await stored(kind, fixture, idOf(kind, before))).toEqual(before)
    })

    it('does nothing for an update that changes nothing', async () => {
      const before = await createOne(kind, fixture)
      const id = idOf(kind, before)
      const same = { [kind.text]: 'first', [kind.status]: field(before, kind.status), [kind.json]: {} }
      for (const updates of [{}, same, { [kind.text]: undefined }, () => ({}), () => same]) {
        const after = await kind.update(fixture.storage, id, updates)
        expect(without(after, ['expiresAt'])).toEqual(without(before, ['expiresAt']))
      }
    })

    it('leaves what the caller gave as it was', async () => {
      const data = { [kind.json]: { list: [1, { deep: true }] }, [kind.text]: 'mine' }
      const copy = structuredClone(data)
      const id = idOf(kind, await createOne(kind, fixture))
      await kind.update(fixture.storage, id, data)
      expect(data).toEqual(copy)
      expect(Object.isFrozen(data)).toBe(false)
      expect(Object.isFrozen(data[kind.json])).toBe(false)
      Object.assign(data[kind.json] as object, { list: 'changed later' })
      expect(field(await stored(kind, fixture, id), kind.json)).toEqual(copy[kind.json])
    })
  })
}

/** A value of the same shape that is not the same. */
function changed(value: unknown): unknown {
  if (value instanceof Date) return new Date(value.getTime() + 1000)
  if (typeof value === 'number') return value + 1
  if (typeof value === 'string') return value.slice(0, -1) + (value.endsWith('0') ? '1' : '0')
  if (Array.isArray(value)) return ['stp_unknown']
  if (typeof value === 'object' && value !== null) return { ...value, total: 99 }
  return new Date()
}
