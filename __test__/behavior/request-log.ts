import { describe, expect, it } from 'vitest'
import type { LoggedRequest, RequestLog, RequestLogEntry, RequestLogQuery } from '../support/flowkeep.js'
import { invalidPaths, rejection } from '../support/refusal.js'
import { existing, type Subject, useFixture } from './fixture.js'

const HOUR_MS = 3_600_000
/** All entries of one run stand some minutes before it, so that their order is known. */
const began = Date.now() - 10 * 60_000

const base = { ip: '10.0.0.1', host: 'api.example', method: 'GET', path: '/', status: 200, durationMs: 5 }

/** Other entries than other tests have: their own host. */
function entries(): { host: string; log: RequestLogEntry[] } {
  const host = `h${Math.random().toString(36).slice(2)}.example`
  const with_ = (n: number, more: Partial<RequestLogEntry>) => ({
    ...base,
    host,
    at: new Date(began + n * 1_000),
    ...more,
  })
  return {
    host,
    log: [
      with_(0, { path: '/users/42?token=secret', user: 'ada' }),
      with_(1, { path: '/users/ada', method: 'post', status: 201, ip: '10.0.0.2' }),
      with_(2, { path: '/users/42/keys/7', status: 404, durationMs: 1_000 }),
      with_(3, { path: '/', status: 500, durationMs: 1_000.5, ip: '::1', user: 'ada' }),
      with_(4, { path: '/users/7', details: { agent: 'curl', n: [1, {}] } }),
    ],
  }
}

/** The request log: section 9 of what a storage promises. */
export function requestLog(subject: Subject): void {
  describe('the request log', () => {
    const fixture = useFixture(subject)
    const recorded = async (): Promise<{ log: RequestLog; host: string; all: LoggedRequest[] }> => {
      const { requestLog: log } = fixture.storage
      const { host, log: given } = entries()
      const all: LoggedRequest[] = []
      for (const entry of given) all.push(await log.record(entry))
      return { log, host, all }
    }

    it('keeps what it was told, without what may be secret', async () => {
      const { log, host, all } = await recorded()
      expect(all[0]).toEqual({
        ...base,
        id: all[0]?.id,
        at: new Date(began),
        host,
        user: 'ada',
        path: '/users/42',
      })
      expect(all[1]).toMatchObject({ method: 'POST', ip: '10.0.0.2', at: new Date(began + 1_000) })
      expect(all[4]?.details).toEqual({ agent: 'curl', n: [1, {}] })
      expect((await log.search({ host: host.toUpperCase() })).items).toEqual([...all].reverse())
      const now = await log.record({ ...base, host })
      expect(Math.abs(now.at.getTime() - Date.now())).toBeLessThan(60_000)
      expect((await log.search({ host, limit: 1 })).items).toEqual([now])
    })

    it.each<[string, RequestLogQuery, number[]]>([
      ['an address', { ip: '10.0.0.1' }, [0, 2, 4]],
      ['a user', { user: 'ada' }, [0, 3]],
      ['a status', { status: 404 }, [2]],
      ['a method', { method: 'post' }, [1]],
      ['errors', { errors: true }, [2, 3]],
      ['slow ones', { slow: true }, [3]],
      ['a path', { path: '/users/42' }, [0]],
      ['another path', { path: '/users/42?other' }, [0]],
      ['the root', { path: '/' }, [3]],
      ['a pattern', { path: '/users/*' }, [0, 1, 4]],
      ['a pattern with a name', { path: '/users/:id/keys/:key' }, [2]],
      ['everything below', { path: '/users/**' }, [0, 1, 2, 4]],
      ['a pattern that begins with anything', { path: '/*/7' }, [4]],
      ['a method and a pattern', { method: 'GET', path: '/users/*' }, [0, 4]],
      ['since then', { since: new Date(began + 3_000) }, [3, 4]],
      ['until then', { until: new Date(began + 3_000) }, [0, 1, 2]],
      ['all of it', { ip: '::1', user: 'ada', status: 500, errors: true, slow: true, path: '/' }, [3]],
      ['what does not go together', { ip: '::1', slow: true, status: 404 }, []],
    ])('finds by %s', async (_, query, expected) => {
      const { log, host, all } = await recorded()
      const found = await log.search({ ...query, host, order: 'asc' })
      expect(found).toEqual({ items: expected.map((n) => all[n]), cursor: null })
      expect((await log.search({ ...query, host })).items).toEqual([...found.items].reverse())
    })

    it('filters before it cuts pages, and a walk meets each once', async () => {
      const { log, host, all } = await recorded()
      for (const order of ['asc', 'desc'] as const) {
        const met: LoggedRequest[] = []
        let cursor: string | undefined
        for (let pages = 0; pages < 5; pages++) {
          const query = { host, path: '/users/**', order, limit: 1, ...(cursor ? { cursor } : {}) }
          const page = await log.search(query)
          met.push(...page.items)
          if (page.cursor === null) break
          expect(page.items).toHaveLength(1)
          cursor = page.cursor
        }
        const wanted = [0, 1, 2, 4].map((n) => all[n])
        expect(met).toEqual(order === 'asc' ? wanted : wanted.reverse())
      }
    })

    it('counts requests and errors by the hour, and the visitors of a host', async () => {
      const { log, host, all } = await recorded()
      const at = new Date(Math.min(...all.map((one) => one.at.getTime())))
      const until = existing(all[4]).at
      const before = await log.hourly({ since: at, until })
      const hour = before.length - 1
      await log.record({ ...base, host, at: until, status: 503, ip: '10.0.0.9' })
      const after = await log.hourly({ since: at, until, host })
      expect(after[hour]?.requests).toBe(existing(before[hour]).requests + 1)
      expect(after[hour]?.errors).toBe(existing(before[hour]).errors + 1)
      expect(after[hour]?.hour.getTime()).toBe(Math.floor(until.getTime() / HOUR_MS) * HOUR_MS)
      expect(after.reduce((sum, { visitors = 0 }) => sum + visitors, 0)).toBeGreaterThanOrEqual(4)
      expect(await log.hourly({ host: 'nobody.example' })).toHaveLength(24)
      expect((await log.hourly({ host: 'nobody.example' })).every(({ visitors }) => visitors === 0)).toBe(
        true,
      )
    })

    it('tells how long requests took in ten minutes', async () => {
      const { requestLog: log } = fixture.storage
      // Minutes that no other test writes to.
      const until = new Date(began - 5 * HOUR_MS)
      expect(await log.percentiles({ until })).toEqual({
        count: 0,
        p50: null,
        p90: null,
        p95: null,
        p99: null,
        max: null,
      })
      await Promise.all(
        Array.from({ length: 200 }, (_, n) => {
          const at = new Date(until.getTime() - (n % 9) * 60_000)
          return log.record({ ...base, host: 'times.example', at, durationMs: n + 1 })
        }),
      )
      const old = new Date(until.getTime() - 11 * 60_000)
      await log.record({ ...base, host: 'times.example', at: old, durationMs: 90_000 })
      const { count, ...told } = await log.percentiles({ until })
      expect(count).toBe(200)
      for (const [name, exact] of Object.entries({ p50: 100, p90: 180, p95: 190, p99: 198, max: 200 })) {
        expect(Math.abs(Number(told[name as keyof typeof told]) / exact - 1), name).toBeLessThan(0.011)
      }
    })

    it('is followed live, from now on and behind a cursor', async () => {
      const { requestLog: log } = fixture.storage
      const controller = new AbortController()
      const reason = new Error('enough')
      const following = log.follow({ signal: controller.signal })
      const first = following.next()
      // The place is fixed by the first question, which has been asked.
      await log.hourly()
      const one = await log.record({ ...base, host: 'live.example' })
      expect(await first).toEqual({ value: one, done: false })
      const two = await log.record({ ...base, host: 'live.example', status: 404 })
      expect((await following.next()).value).toEqual(two)
      const waiting = following.next()
      await log.hourly()
      controller.abort(reason)
      expect(await rejection(waiting)).toBe(reason)
      for await (const met of log.follow({ after: '0-0' })) if (met.id === one.id) break
    })

    it('has nothing to mend', async () => {
      const { log } = await recorded()
      const { records, mended } = await log.rebuild()
      expect(records).toBeGreaterThanOrEqual(5)
      expect(mended).toBe(0)
    })

    it.each([
      ['nothing', undefined, []],
      ['no address', { ...base, ip: '' }, ['ip']],
      ['no status', { ...base, status: 99 }, ['status']],
      ['a status that is too large', { ...base, status: 1_000 }, ['status']],
      ['a negative time', { ...base, durationMs: -1 }, ['durationMs']],
      ['a time that is none', { ...base, at: 'yesterday' }, ['at']],
      ['what is too long ago', { ...base, at: new Date(Date.now() - 25 * HOUR_MS) }, ['at']],
      ['what is to come', { ...base, at: new Date(Date.now() + HOUR_MS) }, ['at']],
      ['details that are none', { ...base, details: 1 }, ['details']],
      ['an unknown field', { ...base, methd: 'GET' }, []],
    ])('records no %s', async (_, entry, path) => {
      expect(await invalidPaths(fixture.storage.requestLog.record(entry as never))).toContainEqual(path)
    })

    it.each([
      ['a limit of nothing', { limit: 0 }, ['limit']],
      ['a limit that is too large', { limit: 1_001 }, ['limit']],
      ['a cursor that is none', { cursor: 'x' }, ['cursor']],
      ['an order that is none', { order: 'up' }, ['order']],
      ['a word for a flag', { errors: 'yes' }, ['errors']],
      ['an unknown filter', { statu: 1 }, []],
    ])('searches not by %s', async (_, query, path) => {
      expect(await invalidPaths(fixture.storage.requestLog.search(query as never))).toContainEqual(path)
    })
  })
}
