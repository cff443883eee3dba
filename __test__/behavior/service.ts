import { describe, expect, it } from 'vitest'
import { NotFoundError, ValidationError } from '../support/flowkeep.js'
import { adversarialNames } from '../support/names.js'
import { invalidPaths, refusal, rejection } from '../support/refusal.js'
import { until } from '../support/until.js'
import { type Subject, useFixture } from './fixture.js'

let services = 0
const newService = (): string => `service-${process.pid}-${++services}`

function tables(subject: Subject): void {
  describe('a table of a service', () => {
    const fixture = useFixture(subject)
    const table = (name = 'things') => fixture.storage.service(newService()).table(name)

    it('gives what was set until it is deleted', async () => {
      const things = table()
      expect([await things.get('k'), await things.has('k'), await things.delete('k')]).toEqual([
        null,
        false,
        false,
      ])
      for (const value of [{ a: [] }, 'text', 7, '', false, null, [], 2 ** 53]) {
        await things.set('k', value)
        expect(await things.get('k')).toEqual(value)
        expect(await things.has('k')).toBe(true)
      }
      expect([await things.delete('k'), await things.delete('k'), await things.has('k')]).toEqual([
        true,
        false,
        false,
      ])
    })

    it('a value ends when its life does; 0 and nothing are for ever', async () => {
      const things = table()
      await things.set('short', 1, { ttlSeconds: 0.05 })
      await things.set('zero', 2, { ttlSeconds: 0 })
      await things.set('none', 3)
      await things.set('again', 4, { ttlSeconds: 0.05 })
      await things.set('again', 5)
      await until(async () => !(await things.has('short')), 'it has ended')
      expect(await things.get('short')).toBeNull()
      expect(await things.delete('short')).toBe(false)
      expect(await things.data()).toEqual(
        new Map<string, unknown>([
          ['again', 5],
          ['none', 3],
          ['zero', 2],
        ]),
      )
      const long = await things
        .set('long', 6, { ttlSeconds: 100 })
        .then(() => things.entries({ cursor: 'again', limit: 1 }))
      const left = Number(long.items[0]?.expiresAt) - Date.now()
      expect(left).toBeGreaterThan(90_000)
      expect(left).toBeLessThanOrEqual(100_000)
    })

    it('what has ended is taken out by later writes', async () => {
      const things = table()
      for (let n = 0; n < 20; n++) await things.set(`short ${n}`, n, { ttlSeconds: 0.01 })
      await until(async () => (await things.data()).size === 0, 'all have ended')
      for (let n = 0; n < 3; n++) await things.set('kept', n)
      expect((await things.entries()).items.map((entry) => entry.key)).toEqual(['kept'])
    })

    it('gives pages in the order of the keys, each value once', async () => {
      const things = table()
      const keys = Array.from({ length: 25 }, (_, n) => `key ${String(n).padStart(2, '0')}`)
      await Promise.all([...keys].reverse().map((key) => things.set(key, key.length)))
      const seen: string[] = []
      let cursor: string | null | undefined
      do {
        const page = await things.entries({ limit: 7, ...(cursor ? { cursor } : {}) })
        expect(page.items.length).toBeLessThanOrEqual(7)
        seen.push(...page.items.map((entry) => entry.key))
        cursor = page.cursor
      } while (cursor)
      expect(seen).toEqual(keys)
      expect([...(await things.data()).keys()]).toEqual(keys)
    })

    it.each([-1, Number.NaN, '1', Number.POSITIVE_INFINITY])('refuses a life of %s', async (ttlSeconds) => {
      const paths = await invalidPaths(table().set('k', 1, { ttlSeconds: ttlSeconds as number }))
      expect(paths).toEqual([['options', 'ttlSeconds']])
    })

    it('refuses names that are none, and values that are no JSON', async () => {
      const { storage } = fixture
      expect(await invalidPaths(storage.service('').table('t').get('k'))).toEqual([['service']])
      expect(await invalidPaths(storage.service('s').table('').get('k'))).toEqual([['table']])
      expect(await invalidPaths(table().get(''))).toEqual([['key']])
      expect(await invalidPaths(table().get('\ud800'))).toEqual([['key']])
      expect(await rejection(table().set('k', undefined as never))).toBeInstanceOf(ValidationError)
      expect(await invalidPaths(table().entries({ limit: 0 }))).toEqual([['options', 'limit']])
    })

    it('200 services of adversarial names see nothing of each other', async () => {
      const names = adversarialNames(200)
      const mine = (name: string) => fixture.storage.service(name)
      const behind = (n: number) => names[(n + 1) % names.length] ?? ''
      const exchange = (name: string) => ({ request: { method: 'GET', url: `/${name}` } })
      await Promise.all(
        names.map(async (name, n) => {
          const table = mine(name).table(behind(n))
          await table.set(name, { owner: name })
          await table.set('same', { owner: name }, { ttlSeconds: 1_000 })
          await mine(name).history().record(exchange(name))
          await mine(name).history().record(exchange('same'))
        }),
      )
      const look = async (name: string, n: number) => {
        const table = mine(name).table(behind(n))
        const history = mine(name).history()
        const [data, entries] = [await table.data(), await history.data()]
        const [at, latest] = [await table.get('same'), await history.get({ method: 'get', url: '/same' })]
        return {
          data,
          at,
          urls: entries.map((entry) => entry.url),
          latest: latest?.id,
          length: await history.length(),
        }
      }
      const before = await Promise.all(names.map(look))
      for (const [n, name] of names.entries()) {
        const own = { owner: name }
        expect(before[n]?.data).toEqual(
          new Map(
            [
              [name, own],
              ['same', own],
            ].sort() as [string, object][],
          ),
        )
        expect(before[n]).toMatchObject({ at: own, urls: [`/${name}`, '/same'], length: 2 })
      }
      expect(new Set(before.map(({ latest }) => latest)).size).toBe(200)
      const cleared = (n: number) => n % 2 === 0
      await Promise.all(
        names.map(async (name, n) => {
          if (!cleared(n)) return
          await mine(name).table(behind(n)).clear()
          await mine(name).history().clear()
        }),
      )
      const after = await Promise.all(names.map(look))
      for (const n of names.keys()) {
        if (cleared(n))
          expect(after[n]).toEqual({ data: new Map(), at: null, urls: [], latest: undefined, length: 0 })
        else expect(after[n]).toEqual(before[n])
      }
    })
  })
}

function histories(subject: Subject): void {
  describe('a history of a service', () => {
    const fixture = useFixture(subject)
    const service = () => fixture.storage.service(newService())
    const get = (url: string) => ({ request: { method: 'get', url, headers: { accept: '*/*' } } })

    it('keeps a request and its response, and finds it again', async () => {
      const history = service().history()
      const made = await history.record({ ...get('/users'), response: { status: 200, body: { n: [] } } })
      expect(made).toMatchObject({
        method: 'GET',
        url: '/users',
        truncated: false,
        response: { status: 200, body: { n: [] } },
      })
      expect(made.request).toEqual(get('/users').request)
      expect(Math.abs(Number(made.at) - Date.now())).toBeLessThan(60_000)
      expect(Number(made.expiresAt) - Number(made.at)).toBe(3_600_000)
      expect(await history.getById(made.id)).toEqual(made)
      expect(await history.get({ method: 'GET', url: '/users' })).toEqual(made)
      expect(await history.get({ method: 'POST', url: '/users' })).toBeNull()
      expect(await history.getById('req_00000000000000000000')).toBeNull()
      expect(await history.getById('nonsense')).toBeNull()
    })

    it('the latest of a method and a URL is given, all of them are kept in order', async () => {
      const history = service().history()
      const made = []
      for (const url of ['/a', '/b', '/a']) made.push(await history.record(get(url)))
      expect(await history.get({ method: 'GET', url: '/a' })).toEqual(made[2])
      expect(await history.data()).toEqual(made)
      expect(await history.length()).toBe(3)
      const first = await history.entries({ limit: 2 })
      expect(first.items).toEqual(made.slice(0, 2))
      const rest = await history.entries({ limit: 2, cursor: first.cursor ?? '' })
      expect(rest).toEqual({ items: made.slice(2), cursor: null })
    })

    it('a response is set later, masked like the rest, and the end stays', async () => {
      const history = service().history({ maskPaths: ['response.body.token'] })
      const made = await history.record(get('/later'))
      expect(made.response).toBeNull()
      const answered = await history.setResponse(made.id, {
        headers: { 'set-cookie': ['sid=abcdef'] },
        body: { token: 'secret-token' },
      })
      expect(answered).toEqual({
        ...made,
        response: { headers: { 'set-cookie': ['****cdef'] }, body: { token: '****oken' } },
      })
      expect(await history.get({ method: 'GET', url: '/later' })).toEqual(answered)
      await refusal(history.setResponse('req_00000000000000000000', {}), NotFoundError, 'STORAGE_NOT_FOUND')
    })

    it('history ids never restart', async () => {
      const history = service().history()
      const before = await Promise.all(Array.from({ length: 20 }, () => history.record(get('/x'))))
      await history.clear()
      expect([await history.length(), await history.data()]).toEqual([0, []])
      expect(await history.get({ method: 'GET', url: '/x' })).toBeNull()
      const after = await Promise.all(Array.from({ length: 20 }, () => history.record(get('/x'))))
      const ids = [...before, ...after].map((entry) => entry.id)
      expect(new Set(ids).size).toBe(40)
      expect(ids.slice(20).every((id) => id > (ids[19] ?? ''))).toBe(true)
    })

    it('an entry ends by itself', async () => {
      const brief = service()
      await brief.history({ historyDurationSeconds: 0.05 }).record(get('/brief'))
      const kept = await brief.history({ historyDurationSeconds: 0 }).record(get('/kept'))
      expect(kept.expiresAt).toBeNull()
      await until(async () => (await brief.history().length()) === 1, 'it has ended')
      expect(await brief.history().get({ method: 'GET', url: '/brief' })).toBeNull()
      expect(await brief.history().data()).toEqual([kept])
    })

    it('masks before it stores', async () => {
      const history = service().history({ maskHeaders: ['X-*-Token'], maskPaths: ['$..password'] })
      const made = await history.record({
        request: {
          method: 'POST',
          url: '/login',
          headers: { Authorization: 'Bearer abcdef', 'x-csrf-token': '123456', accept: 'text/html' },
          body: { user: 'me', password: 'hunter22' },
        },
      })
      expect(made.request).toEqual({
        method: 'POST',
        url: '/login',
        headers: { Authorization: '****cdef', 'x-csrf-token': '****3456', accept: 'text/html' },
        body: { user: 'me', password: '****er22' },
      })
    })

    it('cuts what is too long, and says so', async () => {
      const history = service().history({ maxEntryBytes: 1_024 })
      const long = 'x'.repeat(2_000)
      const request = { method: 'POST', url: '/long', headers: { a: 'b' }, body: 'short' }
      const made = await history.record({ request, response: { status: 200, body: long } })
      expect(made).toMatchObject({ truncated: true, request, response: { status: 200 } })
      expect(made.response).not.toHaveProperty('body')
      const worse = await history.record({ request: { ...request, headers: { long } }, response: { long } })
      expect(worse).toMatchObject({
        truncated: true,
        request: { method: 'POST', url: '/long' },
        response: {},
      })
      expect(JSON.stringify(worse)).not.toContain(long)
    })

    it('refuses what is no request', async () => {
      const history = service().history()
      const paths = (request: unknown) => invalidPaths(history.record({ request } as never))
      expect(await paths({ url: '/' })).toEqual([['request', 'method']])
      expect(await paths({ method: 1, url: '' })).toEqual([
        ['request', 'method'],
        ['request', 'url'],
      ])
      expect(await paths(undefined)).toEqual([['request']])
      expect(await invalidPaths(history.setResponse('x', 1 as never))).toEqual([['response']])
    })
  })

  describe('a view of a service', () => {
    const fixture = useFixture(subject)

    it('is made once, and its circuit breakers are its own', () => {
      const { storage } = fixture
      const [one, other] = [storage.service('one'), storage.service('other')]
      expect(storage.service('one')).toBe(one)
      expect(one.table('t')).toBe(one.table('t'))
      expect(one.circuitBreakers()).toEqual([])
      const breaker = one.circuitBreaker('upstream')
      expect(one.circuitBreaker('upstream')).toBe(breaker)
      expect(other.circuitBreaker('upstream')).not.toBe(breaker)
      expect(one.circuitBreakers()).toEqual([breaker])
    })
  })
}

/** What a service has of its own: section 7 of what a storage promises. */
export function service(subject: Subject): void {
  tables(subject)
  histories(subject)
}
