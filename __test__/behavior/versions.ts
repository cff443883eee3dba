import { describe, expect, it } from 'vitest'
import { ConflictError } from '../support/flowkeep.js'
import { refusal, rejection } from '../support/refusal.js'
import { type Subject, useFixture } from './fixture.js'
import { createOne, field, idOf, kinds, stored } from './kinds.js'

/** Versions, `ifVersion`, and updates that are functions of the present record. */
export function versions(subject: Subject): void {
  describe.each(kinds)('versions: $name', (kind) => {
    const fixture = useFixture(subject)

    it('count the changes', async () => {
      const id = idOf(kind, await createOne(kind, fixture))
      for (let version = 2; version <= 6; version++) {
        const after = await kind.update(fixture.storage, id, { [kind.text]: `change ${version}` })
        expect(after.version).toBe(version)
      }
    })

    it('let an update with the present one pass', async () => {
      const record = await createOne(kind, fixture)
      const update = { [kind.text]: 'second' }
      const after = await kind.update(fixture.storage, idOf(kind, record), update, {
        ifVersion: record.version,
      })
      expect(after).toMatchObject({ ...update, version: 2 })
    })

    it.each([
      ['older', 1],
      ['never reached', 99],
    ])('stop an update with one that is %s', async (_, ifVersion) => {
      const id = idOf(kind, await createOne(kind, fixture))
      const present = await kind.update(fixture.storage, id, { [kind.text]: 'second' })
      const update = kind.update(fixture.storage, id, { [kind.text]: 'lost' }, { ifVersion })
      const error = await refusal(update, ConflictError, 'STORAGE_CONFLICT')
      expect(error.current).toEqual(present)
      expect(error).toMatchObject({ outcome: 'not-applied' })
      expect(await stored(kind, fixture, id)).toEqual(present)
    })

    it('stop even an update that would change nothing', async () => {
      const id = idOf(kind, await createOne(kind, fixture))
      const update = kind.update(fixture.storage, id, {}, { ifVersion: 7 })
      await refusal(update, ConflictError, 'STORAGE_CONFLICT')
    })

    it('stop a function that would be asked about another one', async () => {
      const id = idOf(kind, await createOne(kind, fixture))
      const update = kind.update(fixture.storage, id, () => ({ [kind.text]: 'lost' }), { ifVersion: 7 })
      await refusal(update, ConflictError, 'STORAGE_CONFLICT')
      expect(field(await stored(kind, fixture, id), kind.text)).toBe('first')
    })

    it('let exactly one of several with the same one win', async () => {
      const id = idOf(kind, await createOne(kind, fixture))
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, i) =>
          kind.update(fixture.storage, id, { [kind.text]: `of ${i}` }, { ifVersion: 1 }),
        ),
      )
      const won = results.filter((result) => result.status === 'fulfilled')
      expect(won).toHaveLength(1)
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'STORAGE_CONFLICT' })
      }
      expect((await stored(kind, fixture, id)).version).toBe(2)
    })
  })

  describe.each(kinds)('an update by a function: $name', (kind) => {
    const fixture = useFixture(subject)

    it('is asked with the present record', async () => {
      const record = await createOne(kind, fixture)
      const asked: unknown[] = []
      const after = await kind.update(fixture.storage, idOf(kind, record), (current) => {
        asked.push(current)
        return { [kind.text]: `${String(field(current, kind.text))}, then more` }
      })
      expect(asked.at(-1)).toEqual(record)
      expect(Object.isFrozen(asked.at(-1))).toBe(true)
      expect(field(after, kind.text)).toBe('first, then more')
    })

    it('is asked again when another change came between', async () => {
      const id = idOf(kind, await createOne(kind, fixture))
      const count = (current: object) => {
        const { n = 0 } = (current as Record<string, { n?: number }>)[kind.json] ?? {}
        return { [kind.json]: { n: n + 1 } }
      }
      await Promise.all(Array.from({ length: 16 }, () => kind.update(fixture.storage, id, count)))
      const after = await stored(kind, fixture, id)
      expect(field(after, kind.json)).toEqual({ n: 16 })
      expect(after.version).toBe(17)
    })

    it('stores nothing when it throws, and the caller gets what it threw', async () => {
      const record = await createOne(kind, fixture)
      const own = new Error('of the caller')
      const update = kind.update(fixture.storage, idOf(kind, record), () => {
        throw own
      })
      const error = await rejection(update)
      expect([error, (error as Error).cause]).toContain(own)
      expect(await stored(kind, fixture, idOf(kind, record))).toEqual(record)
    })

    it.each([
      ['nothing', undefined],
      ['null', null],
      ['a number', 1],
      ['a list', []],
      ['a promise of nothing', Promise.resolve()],
      ['a function', () => ({})],
    ])('is refused when it gives %s', async (_, given) => {
      const record = await createOne(kind, fixture)
      const update = kind.update(
        fixture.storage,
        idOf(kind, record),
        () => given as object as Record<string, unknown>,
      )
      expect(await rejection(update)).toMatchObject({ code: 'STORAGE_INVALID', issues: [{ path: [] }] })
      expect(await stored(kind, fixture, idOf(kind, record))).toEqual(record)
    })
  })
}
