import { describe, expect, it } from 'vitest'
import { ConflictError, NotFoundError } from '../support/flowkeep.js'
import { invalidPaths, refusal } from '../support/refusal.js'
import { type Subject, useFixture } from './fixture.js'

interface Route {
  id: string
  path: string
  priority: number
  hash?: string
  domains?: string[]
  kind?: string | null
  more?: unknown
}

let names = 0
const newName = () => `collection {${process.pid}}:${++names}`

const shape = {
  id: 'id',
  unique: [['path', 'priority']],
  lookup: ['hash', 'domains'],
  orderBy: 'priority',
  sets: ['kind'],
} as const

const clean = (records: number) => ({ records, problems: [], mended: 0 })

/** Collections: records found by more than their id. */
export function collections(subject: Subject): void {
  describe('a collection', () => {
    const fixture = useFixture(subject)
    const routes = (name = newName()) => fixture.storage.collection<Route>(name, shape)
    const route = (id: string, more: Partial<Route> = {}): Route => ({
      id,
      path: `/${id}`,
      priority: 1,
      ...more,
    })

    it('gives back what was stored, exactly', async () => {
      const all = routes()
      const record = route('a', { more: { list: [], object: {}, deep: [[{ n: 1.5 }]] } })
      expect(await all.create(record)).toEqual(record)
      expect(await all.get('a')).toEqual(record)
      expect(await all.get('b')).toBeNull()
      expect(await all.count()).toBe(1)
      await all.delete('a')
      await all.delete('a')
      expect([await all.get('a'), await all.count()]).toEqual([null, 0])
      expect(await all.verify()).toEqual(clean(0))
    })

    it('creates an id once, and tells who has it', async () => {
      const all = routes()
      const made = await Promise.allSettled(
        Array.from({ length: 20 }, (_, n) => all.create(route('same', { path: `/${n}` }))),
      )
      expect(made.filter((one) => one.status === 'fulfilled')).toHaveLength(1)
      const error = await refusal(all.create(route('same')), ConflictError, 'STORAGE_EXISTS')
      expect(error.current).toEqual(await all.get('same'))
      expect(await all.verify()).toEqual(clean(1))
    })

    it('a conflict carries what was given, whatever its fields are called', async () => {
      interface Odd {
        id: string
        sessionId: string
        chainId: number
        stepId: null
        createdAt: string
        bytes: Uint8Array
      }
      const odd = fixture.storage.collection<Odd>(newName(), { id: 'id', binary: ['bytes'] })
      const bytes = Uint8Array.of(0, 255, 7)
      const record = { id: 'a', sessionId: 's', chainId: 1, stepId: null, createdAt: 'never', bytes }
      await odd.create(record)
      const error = await refusal(odd.create(record), ConflictError, 'STORAGE_EXISTS')
      expect(error.current).toEqual(record)
    })

    it('what is taken is gone, and one of many gets it', async () => {
      const all = routes()
      const record = route('once', { hash: 'h', kind: 'k' })
      await all.create(record)
      const taken = await Promise.all(Array.from({ length: 20 }, () => all.take('once')))
      expect(taken.filter((one) => one !== null)).toEqual([record])
      expect([await all.get('once'), await all.getBy('hash', 'h')]).toEqual([null, null])
      await all.create(route('brief'), { ttlSeconds: 0.02 })
      await expect.poll(() => all.get('brief')).toBeNull()
      expect(await all.take('brief')).toBeNull()
      expect(await all.verify()).toEqual(clean(0))
    })

    it('keeps a constraint, whoever writes at the same time', async () => {
      const all = routes()
      const made = await Promise.allSettled(
        Array.from({ length: 20 }, (_, n) => all.create(route(`r${n}`, { path: '/x', priority: 7 }))),
      )
      expect(made.filter((one) => one.status === 'fulfilled')).toHaveLength(1)
      await all.create(route('other', { path: '/x', priority: 8 }))
      await refusal(all.update('other', { priority: 7 }), ConflictError, 'STORAGE_EXISTS')
      expect((await all.get('other'))?.priority).toBe(8)
      expect(await all.verify()).toEqual(clean(2))
    })

    it('a constraint moves with its record, and is free again behind it', async () => {
      const all = routes()
      await all.create(route('a', { path: '/p', priority: 1 }))
      await all.update('a', { priority: 2 })
      await all.create(route('b', { path: '/p', priority: 1 }))
      await all.put(route('a', { path: '/q' }))
      await all.create(route('c', { path: '/p', priority: 2 }))
      await all.delete('c')
      await all.create(route('d', { path: '/p', priority: 2 }))
      expect(await all.verify()).toEqual(clean(3))
    })

    it('a + b:c is not equal to a:b + c', async () => {
      const all = fixture.storage.collection<{ id: string; x: string; y: string }>(newName(), {
        id: 'id',
        unique: [['x', 'y']],
      })
      await all.create({ id: '1', x: 'a', y: 'b:c' })
      await all.create({ id: '2', x: 'a:b', y: 'c' })
      await all.create({ id: '3', x: 'a","b', y: 'c' })
      await all.create({ id: '4', x: 'a', y: 'b","c' })
      expect(await all.verify()).toEqual(clean(4))
    })

    it('finds a record by its second keys, single or in a list', async () => {
      const all = routes()
      await all.create(route('a', { hash: 'h1', domains: ['one.example', 'two.example'] }))
      expect((await all.getBy('hash', 'h1'))?.id).toBe('a')
      expect((await all.getBy('domains', 'two.example'))?.id).toBe('a')
      await all.update('a', { hash: 'h2', domains: ['two.example'] })
      expect(await all.getBy('hash', 'h1')).toBeNull()
      expect(await all.getBy('domains', 'one.example')).toBeNull()
      expect((await all.getBy('hash', 'h2'))?.id).toBe('a')
      await refusal(all.create(route('b', { hash: 'h2' })), ConflictError, 'STORAGE_EXISTS')
      await all.delete('a')
      expect(await all.getBy('hash', 'h2')).toBeNull()
    })

    it('lists by priority, page by page, from either end', async () => {
      const all = routes()
      const priorities = [5, -1, 2.5, 100, 2.5, 0]
      for (const [n, priority] of priorities.entries()) await all.create(route(`r${n}`, { priority }))
      const ids = (page: { items: readonly Route[] }) => page.items.map((item) => item.id)
      expect(ids(await all.list())).toEqual(['r1', 'r5', 'r2', 'r4', 'r0', 'r3'])
      expect(ids(await all.list({ descending: true, limit: 2 }))).toEqual(['r3', 'r0'])
      const first = await all.list({ limit: 4 })
      expect(ids(first)).toEqual(['r1', 'r5', 'r2', 'r4'])
      const second = await all.list({ limit: 4, cursor: first.cursor ?? '' })
      expect([ids(second), second.cursor]).toEqual([['r0', 'r3'], null])
      await all.update('r3', { priority: -5 })
      expect(ids(await all.list({ limit: 1 }))).toEqual(['r3'])
    })

    it('gathers records in sets', async () => {
      const all = routes()
      for (let n = 0; n < 5; n++) await all.create(route(`r${n}`, { kind: n < 3 ? 'external' : 'docker' }))
      await all.create(route('none', { kind: null }))
      const ids = async (kind: string) => (await all.in('kind', kind)).items.map((item) => item.id)
      expect(await ids('external')).toEqual(['r0', 'r1', 'r2'])
      await all.update('r1', { kind: 'docker' })
      await all.delete('r0')
      expect([await ids('external'), await ids('docker')]).toEqual([['r2'], ['r1', 'r3', 'r4']])
      const first = await all.in('kind', 'docker', { limit: 2 })
      const second = await all.in('kind', 'docker', { limit: 2, cursor: first.cursor ?? '' })
      expect(second.items.map((item) => item.id)).toEqual(['r4'])
      expect(await ids('exter')).toEqual([])
    })

    it('lost counts through read-modify-write: parallel updates of different fields all survive', async () => {
      const all = routes()
      await all.create(route('a'))
      await Promise.all(Array.from({ length: 40 }, (_, n) => all.update('a', { [`f${n}`]: n } as never)))
      expect(Object.keys((await all.get('a')) ?? {})).toHaveLength(43)
    })

    it('a record goes when its time is over, with everything that notes it', async () => {
      const all = routes()
      await all.create(route('short', { hash: 'h', path: '/p', kind: 'k' }), { ttlSeconds: 0.05 })
      await all.create(route('long', { kind: 'k' }), { ttlSeconds: 1000 })
      await expect.poll(() => all.get('short')).toBeNull()
      expect(await all.getBy('hash', 'h')).toBeNull()
      expect((await all.list()).items.map((item) => item.id)).toEqual(['long'])
      expect((await all.in('kind', 'k')).items.map((item) => item.id)).toEqual(['long'])
      await refusal(all.update('short', { kind: 'x' }), NotFoundError, 'STORAGE_NOT_FOUND')
      // What it held is free for another one, and its own id for a new one.
      await all.create(route('next', { hash: 'h', path: '/p' }))
      await all.create(route('short', { path: '/again' }))
      expect(await all.count()).toBe(3)
      expect(await all.verify()).toEqual(clean(3))
    })

    it('a write does not undo the time that a record has', async () => {
      const all = fixture.storage.collection<Route>(newName(), { ...shape, ttlSeconds: 0.2 })
      await all.create(route('a'))
      await all.update('a', { kind: 'x' })
      await all.create(route('kept'), { ttlSeconds: 0 })
      await expect.poll(() => all.get('a')).toBeNull()
      expect(await all.get('kept')).not.toBeNull()
    })

    it('holds bytes as base64', async () => {
      interface Certificate {
        name: string
        pem: Uint8Array
      }
      const name = newName()
      const certificates = fixture.storage.collection<Certificate>(name, { id: 'name', binary: ['pem'] })
      const pem = Uint8Array.from({ length: 256 }, (_, n) => n)
      await certificates.create({ name: 'c', pem })
      expect((await certificates.get('c'))?.pem).toEqual(pem)
      const plain = fixture.storage.collection<{ name: string; pem: string }>(name, { id: 'name' })
      expect((await plain.get('c'))?.pem).toBe(Buffer.from(pem).toString('base64'))
    })

    it('repairs what a change of its shape leaves behind, while others write', async () => {
      const name = newName()
      const before = fixture.storage.collection<Route>(name, { id: 'id', lookup: ['path'] })
      for (let n = 0; n < 30; n++) await before.create(route(`r${n}`, { priority: 30 - n, kind: 'k' }))
      const after = fixture.storage.collection<Route>(name, shape)
      const found = await after.verify()
      expect(found.records).toBe(30)
      expect(found.problems.length).toBeGreaterThan(60)
      expect((await after.verify()).mended).toBe(0)
      const writes = Promise.all(
        Array.from({ length: 20 }, (_, n) => after.update(`r${n}`, { hash: `h${n}` })),
      )
      await after.repair()
      await writes
      await after.repair()
      expect(await after.verify()).toEqual(clean(30))
      expect((await after.list({ limit: 2 })).items.map((item) => item.id)).toEqual(['r29', 'r28'])
      expect((await after.in('kind', 'k')).items).toHaveLength(30)
    })

    it('bad input is told with its place, and stores nothing', async () => {
      const all = routes()
      const loose = all as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
      const call = (name: string, ...args: unknown[]) =>
        invalidPaths((loose[name] as () => never).apply(all, args as []))
      expect(await call('create', { path: '/', priority: 1 })).toEqual([['record', 'id']])
      expect(await call('create', route('a', { priority: 'x' as never }))).toEqual([['record', 'priority']])
      expect(await call('create', route('a', { path: {} as never }))).toEqual([['record', 'path']])
      expect(await call('create', 5)).toEqual([['record']])
      expect(await call('create', route('a'), { ttlSeconds: -1 })).toEqual([['options', 'ttlSeconds']])
      expect(await call('get', {})).toEqual([['id']])
      expect(await call('getBy', 'kind', 'x')).toEqual([['by']])
      expect(await call('in', 'path', 'x')).toEqual([['by']])
      expect(await call('list', { cursor: 'x' })).toEqual([['options', 'cursor']])
      const nameless = fixture.storage.collection<Route>('', shape)
      expect(await invalidPaths(nameless.get('a'))).toEqual([['definition', 'name']])
      await all.create(route('a'))
      expect(await invalidPaths(all.update('a', { id: 'b' }))).toEqual([['record', 'id']])
      expect(await all.count()).toBe(1)
    })
  })
}
