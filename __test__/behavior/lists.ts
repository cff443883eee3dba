import { describe, expect, it } from 'vitest'
import { NotFoundError } from '../support/flowkeep.js'
import { invalidPaths, refusal } from '../support/refusal.js'
import { type Subject, useFixture } from './fixture.js'
import { chainKind, createOne, idOf, kinds, stepKind } from './kinds.js'

/** Lists: what belongs to a parent, in the order of creation. */
export function lists(subject: Subject): void {
  describe.each(kinds)('a list: $name', (kind) => {
    const fixture = useFixture(subject)

    /** A parent with so many children, made one after the other. */
    const family = async (count: number) => {
      const parent = await kind.newParent(fixture)
      const children = []
      for (let n = 0; n < count; n++) children.push(await kind.create(fixture.storage, parent, `child ${n}`))
      return { parent, children }
    }

    it('is empty without children', async () => {
      const parent = await kind.newParent(fixture)
      expect(await kind.list(fixture.storage, parent)).toEqual([])
      expect(await kind.list(fixture.storage, parent, { limit: 5, order: 'desc' })).toEqual([])
    })

    it('is in the order of creation, either way', async () => {
      const { parent, children } = await family(25)
      expect(await kind.list(fixture.storage, parent)).toEqual(children)
      expect(await kind.list(fixture.storage, parent, { order: 'asc' })).toEqual(children)
      expect(await kind.list(fixture.storage, parent, { order: 'desc' })).toEqual([...children].reverse())
    })

    it('is limited after it is ordered', async () => {
      const { parent, children } = await family(5)
      for (const limit of [1, 3, 5, 6, 1000]) {
        expect(await kind.list(fixture.storage, parent, { limit })).toEqual(children.slice(0, limit))
        const last = [...children].reverse().slice(0, limit)
        expect(await kind.list(fixture.storage, parent, { limit, order: 'desc' })).toEqual(last)
      }
    })

    it('has no limit of its own', async () => {
      const parent = await kind.newParent(fixture)
      const made = await Promise.all(
        Array.from({ length: 1100 }, (_, n) => kind.create(fixture.storage, parent, `child ${n}`)),
      )
      const list = await kind.list(fixture.storage, parent)
      expect(list).toHaveLength(1100)
      expect(new Set(list.map((child) => idOf(kind, child)))).toEqual(
        new Set(made.map((child) => idOf(kind, child))),
      )
    })

    it('shows the records as they are now, without the deleted ones', async () => {
      const { parent, children } = await family(3)
      const [first, second, third] = children.map((child) => idOf(kind, child))
      const changed = await kind.update(fixture.storage, first ?? '', { [kind.text]: 'changed' })
      await kind.remove(fixture.storage, second ?? '')
      const list = await kind.list(fixture.storage, parent)
      expect(list.map((child) => idOf(kind, child))).toEqual([first, third])
      expect(list[0]).toEqual(changed)
    })

    it('holds the children of its own parent alone', async () => {
      const one = await family(2)
      const other = await family(1)
      expect(await kind.list(fixture.storage, one.parent)).toEqual(one.children)
      expect(await kind.list(fixture.storage, other.parent)).toEqual(other.children)
    })

    it('is a new array every time, which the caller may change', async () => {
      const { parent, children } = await family(2)
      const list = await kind.list(fixture.storage, parent)
      list.length = 0
      expect(await kind.list(fixture.storage, parent)).toEqual(children)
    })

    it.each([
      ['limit', -1],
      ['limit', 1.5],
      ['limit', Number.NaN],
      ['limit', '5'],
      ['order', 'up'],
      ['order', 1],
    ])('refuses %s %j', async (name, value) => {
      const parent = await kind.newParent(fixture)
      const list = kind.list(fixture.storage, parent, { [name]: value })
      expect(await invalidPaths(list)).toEqual([['options', name]])
    })
  })

  describe.each([chainKind, stepKind])('a list without its parent: $name', (kind) => {
    const fixture = useFixture(subject)

    it('is an error, never empty', async () => {
      const parent: string =
        kind === chainKind ? (await fixture.session()).sessionId : (await fixture.chain()).chainId
      if (kind === chainKind) await fixture.storage.deleteSession(parent)
      else await fixture.storage.deleteChain(parent)
      await refusal(kind.list(fixture.storage, parent), NotFoundError, 'STORAGE_NOT_FOUND')
      await refusal(kind.create(fixture.storage, parent, 'orphan'), NotFoundError, 'STORAGE_NOT_FOUND')
    })

    it('refuses the id of another kind of record', async () => {
      const record = await createOne(kind, fixture)
      expect(await invalidPaths(kind.list(fixture.storage, idOf(kind, record)))).toEqual([[kind.parent]])
    })
  })
}
