import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { testBreakers } from './behavior/breakers.js'
import { databases, sqlite } from './support/databases.js'
import { copyBreakers, openBreakers, openStorage, SqlBreakers } from './support/flowkeep.js'
import { until } from './support/until.js'

const down = () => Promise.reject(new Error('down'))

for (const database of databases()) {
  testBreakers({
    name: database.name,
    open: () => {
      const breakers = new SqlBreakers({ url: database.url, prefix: database.prefix, timeoutMs: 10_000 })
      return Promise.resolve({ breakers, close: () => breakers.close() })
    },
  })

  describe(`the tables of breakers in ${database.name}`, () => {
    const breakers = new SqlBreakers({ url: database.url, prefix: `${database.prefix}q_`, timeoutMs: 10_000 })
    afterAll(async () => {
      await breakers.close()
      database.dispose()
    })

    it('can be asked', async () => {
      const before = new Date(Date.now() - 60_000)
      const failing = breakers.get('failing', { failureThreshold: 2 })
      const other = breakers.get('other', { context: 'me', boundary: 'them' })
      for (let i = 0; i < 2; i++) await expect(failing.call(down)).rejects.toThrow('down')
      await failing.state()
      await other.isolate({ reason: 'maintenance', actor: 'ops' })
      expect(await breakers.query({ state: 'open' })).toMatchObject([
        { name: 'failing', state: 'open', failureCount: 2, closedAt: null },
      ])
      expect(await breakers.query({ failureCountOver: 2 })).toEqual([])
      expect((await breakers.query({ openedSince: before })).map(({ name }) => name)).toEqual(['failing'])
      const { items, cursor } = await breakers.events({ limit: 1 })
      expect(items).toMatchObject([
        {
          name: 'other',
          context: 'me',
          boundary: 'them',
          event: 'isolated',
          reason: 'maintenance',
          actor: 'ops',
        },
      ])
      expect(items[0]?.at).toBeInstanceOf(Date)
      const rest = await breakers.events({ limit: 10, cursor: cursor ?? '' })
      expect(rest).toMatchObject({ items: [{ name: 'failing', event: 'opened', failures: 2 }], cursor: null })
      expect(await breakers.countTransitions({ since: before, event: 'opened' })).toBe(1)
      expect(await breakers.countTransitions({ since: new Date(Date.now() + 60_000) })).toBe(0)
      expect(await breakers.prune({ olderThanSeconds: 60 })).toBe(0)
      // A database may round the last event up to a millisecond that is still to come.
      let gone = 0
      const prune = async () => {
        gone += await breakers.prune({ olderThanSeconds: 0 })
        return gone >= 2
      }
      await until(prune, 'both are older')
      expect(gone).toBe(2)
      const bad = breakers.query({ state: 'broken', limit: 0 } as never)
      await expect(bad).rejects.toMatchObject({ code: 'STORAGE_INVALID' })
    })
  })
}

describe('several stores of breakers', () => {
  it('are opened together, chosen by name, and hand their state on', async () => {
    const database = sqlite()
    const stores = { default: { driver: 'memory' }, audit: { driver: 'sql', url: database.url } } as const
    const opened = openBreakers({ stores })
    try {
      const here = opened.get('upstream', { failureThreshold: 1 })
      await expect(here.call(down)).rejects.toThrow('down')
      expect(await copyBreakers(opened.store(), opened.store('audit'))).toBe(1)
      expect(await copyBreakers(opened.store(), opened.store('audit'))).toBe(0)
      const there = opened.store('audit').get('upstream')
      const { until, generation } = await here.state()
      expect(await there.state()).toMatchObject({ state: 'open', generation, until, failureCount: 1 })
      expect(() => opened.store('none')).toThrow(expect.objectContaining({ code: 'STORAGE_CONFIG' }))
    } finally {
      await opened.close()
      database.dispose()
    }
    await expect(opened.store('audit').list()).rejects.toMatchObject({ code: 'STORAGE_CLOSED' })
  })

  it('refuse what they can not use, without its secrets', () => {
    const url = 'oracle://user:hunter2@host'
    const wrong = [
      { driver: 'sql', url },
      { driver: 'disk' },
      { driver: 'sql', url: 'sqlite::memory:', prefix: 'a;b' },
    ]
    for (const store of wrong) {
      const open = () => openBreakers({ stores: { default: store as never } })
      expect(open).toThrow(expect.objectContaining({ code: 'STORAGE_CONFIG' }))
      expect(open).not.toThrow(/hunter2/)
    }
    expect(() => openBreakers({ stores: {}, default: 'x' })).toThrow(/not among the stores/)
  })

  it('say that only a database has tables', async () => {
    const storage = await openStorage({ backend: 'memory' })
    expect(storage.breakers).not.toBeInstanceOf(SqlBreakers)
    await storage.close()
  })
})

it('lets the process end by itself, with its database open', async () => {
  const database = sqlite()
  const script = `
    const { SqlBreakers } = require(${JSON.stringify(join(__dirname, '../dist/index.js'))})
    const breaker = new SqlBreakers({ url: ${JSON.stringify(database.url)} }).get('upstream')
    breaker.call(() => 'up').then((value) => console.log(value))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (more) => {
    text += more
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  expect([code, text.trim()]).toEqual([0, 'up'])
  database.dispose()
}, 20_000)
