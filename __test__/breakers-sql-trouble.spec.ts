// Breakers in databases that many processes write to, and that are killed in the middle.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startMariadb, startPostgres } from '../scripts/sql-servers.mjs'
import { databases, sqlite } from './support/databases.js'
import { type Breaker, SqlBreakers } from './support/flowkeep.js'
import { until } from './support/until.js'

const PATIENCE_MS = 60_000
const PROCESSES = 8
const ORDERS = 10

const down = () => Promise.reject(new Error('down'))
const up = () => Promise.resolve('up')

async function told(child: ChildProcess): Promise<void> {
  const [message] = (await once(child, 'message')) as [{ error?: string }]
  if (message.error !== undefined) throw new Error(message.error)
}

it(
  'loses no transition between eight processes',
  async () => {
    const script = join(__dirname, 'support/sql-breaker-worker.mjs')
    const crew = Array.from({ length: PROCESSES }, () => fork(script))
    try {
      await Promise.all(crew.map(told))
      for (const { name, url, prefix, dispose } of databases()) {
        await Promise.all(
          crew.map((child) => {
            const answer = told(child)
            child.send({ url, prefix, orders: ORDERS })
            return answer
          }),
        )
        const breakers = new SqlBreakers({ url, prefix, timeoutMs: PATIENCE_MS })
        const { items } = await breakers.events({ limit: 1_000 })
        const { generation } = await breakers.get('shared').state()
        // Every change of the breaker, from the first to the last, is one event.
        const generations = items.map((item) => item.generation)
        expect([name, generations]).toEqual([
          name,
          Array.from({ length: generation }, (_, n) => generation - n),
        ])
        expect(generation).toBeGreaterThanOrEqual(ORDERS)
        expect(await breakers.countTransitions()).toBe(generation)
        await breakers.close()
        dispose()
      }
    } finally {
      for (const child of crew) child.kill()
    }
  },
  PATIENCE_MS * 2,
)

describe.each([
  ['PostgreSQL', startPostgres],
  ['MariaDB', startMariadb],
] as const)('a %s that is killed in the middle', (_, start) => {
  it('makes no call fail, and gets to know what happened meanwhile', async () => {
    const server = await start()
    const breakers = new SqlBreakers({ url: server.url, timeoutMs: 20_000 })
    let again: Awaited<ReturnType<typeof start>> | undefined
    try {
      const breaker = breakers.get('upstream', { failureThreshold: 3, openSeconds: 600 })
      await until(() => breakers.list().catch(() => undefined), 'the tables are made', PATIENCE_MS)
      expect(await breaker.call(up)).toBe('up')
      await breaker.isolate({ actor: 'ops' })
      expect(await breaker.reset({ actor: 'ops' })).toMatchObject({ state: 'closed', storeAway: false })
      await server.crash()
      for (let n = 0; n < 20; n++) expect(await breaker.call(up)).toBe('up')
      const gone = breakers.query({ timeoutMs: 500 })
      await expect(gone).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE', retryable: true })
      await fail(breaker, 3)
      expect(await breaker.state({ timeoutMs: 500 })).toMatchObject({ state: 'open', storeAway: true })
      await expect(breaker.call(up)).rejects.toMatchObject({ code: 'STORAGE_CIRCUIT_OPEN' })
      again = await until(
        () => start({ place: server }).catch(() => undefined),
        'the server is back',
        PATIENCE_MS,
      )
      const open = async () => {
        await breaker.call(up).catch(() => {})
        return (await breakers.query({ state: 'open', timeoutMs: 2_000 }).catch(() => [])).length === 1
      }
      await until(open, 'the table says that it is open', PATIENCE_MS)
      const { items } = await breakers.events()
      expect(items.map(({ event, failures }) => [event, failures])).toEqual([
        ['opened', 3],
        ['reset', 0],
        ['isolated', 0],
      ])
    } finally {
      await breakers.close()
      await again?.stop()
      await server.stop()
    }
  }, 180_000)
})

async function fail(breaker: Breaker, times: number): Promise<void> {
  for (let n = 0; n < times; n++) await expect(breaker.call(down)).rejects.toThrow('down')
}

it('carries an order that was given while the database was away, though nobody calls', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flowkeep-away-'))
  const file = join(folder, 'late', 'breakers.db')
  const breakers = new SqlBreakers({ url: `sqlite://${file}?mode=rwc` })
  try {
    expect(await breakers.get('upstream').isolate({ reason: 'early' })).toMatchObject({
      state: 'isolated',
      storeAway: true,
    })
    await expect(breakers.query()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    mkdirSync(join(folder, 'late'))
    const stored = async () => (await breakers.query({ state: 'isolated' })).length === 1
    await until(stored, 'it is stored', 20_000)
    expect((await breakers.events()).items).toMatchObject([{ event: 'isolated', reason: 'early' }])
  } finally {
    await breakers.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

it('calls its tables as it is told', async () => {
  const { url, dispose } = sqlite()
  const tables = { breakers: 'fuses', events: 'fuse_log' }
  const [own, usual] = [new SqlBreakers({ url, prefix: 'my_', tables }), new SqlBreakers({ url })]
  try {
    await own.get('upstream').isolate()
    expect(await own.query()).toHaveLength(1)
    expect(await usual.query()).toEqual([])
    const same = new SqlBreakers({ url, tables: { breakers: 'my_fuses', events: 'my_fuse_log' } })
    expect(await same.events()).toMatchObject({ items: [{ event: 'isolated' }] })
    await same.close()
    for (const name of ['', '1st', 'a b', 'x;y', 'ä', 'x'.repeat(53)]) {
      const open = () => new SqlBreakers({ url, tables: { breakers: name } })
      expect(open).toThrow(expect.objectContaining({ code: 'STORAGE_CONFIG' }))
    }
    const both = () => new SqlBreakers({ url, tables: { breakers: 'one', events: 'ONE' } })
    expect(both).toThrow(expect.objectContaining({ code: 'STORAGE_CONFIG' }))
  } finally {
    await Promise.all([own.close(), usual.close()])
    dispose()
  }
})
