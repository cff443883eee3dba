// Groups that are lost under load, with the server's data or alone. What "lost" means here is said in docs/guarantees.md.
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { RedisAdapter } from './support/flowkeep.js'
import { rawClient } from './support/redis.js'
import { OwnServer } from './support/server.js'
import { until } from './support/until.js'

vi.setConfig({ testTimeout: 280_000, hookTimeout: 60_000 })

/** `npm run test:streams` plays it whole. */
const full = process.env.FLOWKEEP_TEST_STREAMS === 'full'
const LOSSES = full ? 20 : 5
/** Items that are added between two losses. */
const ITEMS = full ? 500 : 120
const CONSUMERS = 3
const CONCURRENCY = 4
const PATIENCE_MS = 60_000

let server: OwnServer
let client: Redis

beforeAll(async () => {
  server = await OwnServer.start()
  client = rawClient(server.url)
})

afterAll(async () => {
  client.disconnect()
  await server.dispose()
})

/** A stream with consumers at work, and what was done of what was added. */
class Load {
  readonly storage = new RedisAdapter(server.url, { timeoutMs: 20_000 })
  readonly done = new Map<number, number>()
  readonly #stop = new AbortController()
  readonly #consumers: Promise<void>[] = []
  added = 0

  constructor(readonly name: string) {
    for (let n = 0; n < CONSUMERS; n++) this.#consumers.push(this.#consume())
  }

  #consume(): Promise<void> {
    return this.storage.streams.consume(
      this.name,
      'workers',
      async ({ fields }) => {
        // Some take a little longer, so that entries end in another order than they came.
        if (Number(fields.n) % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 3))
        const n = Number(fields.n)
        this.done.set(n, (this.done.get(n) ?? 0) + 1)
      },
      { concurrency: CONCURRENCY, claimAfterSeconds: 5, signal: this.#stop.signal },
    )
  }

  /** Adds so many new items, a few at once; `meanwhile` happens in the middle of it. */
  async add(count: number, meanwhile: () => Promise<unknown>): Promise<void> {
    const adding: Promise<unknown>[] = []
    for (let n = 0; n < count; n++) {
      adding.push(this.storage.streams.add(this.name, { n: String(this.added++) }))
      if (n === count >> 1) adding.push(meanwhile())
      if (n % 16 === 0) await Promise.all(adding.splice(0))
    }
    await Promise.all(adding)
  }

  /** What was added and not yet done. */
  missing(): number[] {
    return Array.from({ length: this.added }, (_, n) => n).filter((n) => !this.done.has(n))
  }

  /** How often something was done that had been done before. */
  repeats(): number {
    return [...this.done.values()].reduce((sum, times) => sum + times - 1, 0)
  }

  async end(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#consumers)
    await this.storage.close()
  }
}

describe('a stream whose group is lost under load', () => {
  it(`loses nothing when the group is destroyed ${LOSSES} times, and does not begin again`, async () => {
    const load = new Load('destroyed')
    for (let n = 0; n < LOSSES; n++) {
      await load.add(ITEMS, async () => {
        await until(() => load.done.size > n * ITEMS, 'they are at work', PATIENCE_MS)
        await client.xgroup('DESTROY', 'flowkeep:stream:destroyed', 'workers')
      })
    }
    await until(() => load.missing().length === 0, 'everything is done', PATIENCE_MS)
    expect(load.added).toBe(LOSSES * ITEMS)
    // Only what lies behind an entry that was not acknowledged comes again: some entries for each loss, not the stream.
    console.log(`destroyed ${LOSSES} times: ${load.added} added, ${load.repeats()} done again`)
    expect(load.repeats()).toBeLessThan(LOSSES * ITEMS)
    await until(
      async () => (await load.storage.streams.pending(load.name, 'workers')).length === 0,
      'nothing is pending',
      PATIENCE_MS,
    )
    await load.end()
  })

  it(`loses nothing that was added after the server lost everything, ${LOSSES} times`, async () => {
    const load = new Load('flushed')
    for (let n = 0; n < LOSSES; n++) {
      await load.add(ITEMS, async () => {
        await until(() => load.done.size > n * ITEMS, 'they are at work', PATIENCE_MS)
        await client.flushall()
      })
      // What was in the stream is gone with it: who added it knows what was not done, and adds that again.
      const again = load.missing().map((item) => load.storage.streams.add(load.name, { n: String(item) }))
      await Promise.all(again)
      await until(() => load.missing().length === 0, 'everything is done', PATIENCE_MS)
    }
    console.log(`flushed ${LOSSES} times: ${load.added} added, ${load.repeats()} done again`)
    expect(load.done.size).toBe(LOSSES * ITEMS)
    await load.end()
  })

  it('stands at its floor when it is made anew, and at the start when the floor is gone as well', async () => {
    const { storage, end } = (() => {
      const storage = new RedisAdapter(server.url)
      return { storage, end: () => storage.close() }
    })()
    const { streams } = storage
    const key = 'flowkeep:stream:floor'
    await streams.createGroup('floor', 'g', { after: 'start' })
    const ids: string[] = []
    for (let n = 0; n < 6; n++) ids.push(await streams.add('floor', { n: String(n) }))
    await streams.readGroup('floor', 'g', 'a', { limit: 5 })
    await streams.ack('floor', 'g', [ids[0] ?? '', ids[1] ?? '', ids[3] ?? ''])
    expect(await client.hget(`{${key}}:floors`, 'g')).toBe(ids[1])
    const again = async () => {
      const seen: number[] = []
      for await (const { fields } of streams.consume('floor', 'g', { claimAfterSeconds: 0.05 })) {
        seen.push(Number(fields.n))
        if (fields.n === '5') break
      }
      return seen
    }
    await client.xgroup('DESTROY', key, 'g')
    expect(await again()).toEqual([2, 3, 4, 5])
    await client.xgroup('DESTROY', key, 'g')
    await client.del(`{${key}}:floors`)
    expect(await again()).toEqual([0, 1, 2, 3, 4, 5])
    // A floor that lies behind the stream's end is another stream's.
    await client.hset(`{${key}}:floors`, 'g', '9999999999999-0')
    await client.xgroup('DESTROY', key, 'g')
    expect(await again()).toEqual([0, 1, 2, 3, 4, 5])
    await end()
  })
})

describe('a stream that other programs use', () => {
  it('is a plain stream, and what waits for it has a connection of its own', async () => {
    const storage = new RedisAdapter(server.url)
    const { streams } = storage
    const waiting = streams.read('shared', { block: true })
    await until(async () => String(await client.client('LIST')).includes('cmd=xread'), 'it waits')
    expect((await storage.status()).connections).toBe(2)
    const id = await client.xadd('flowkeep:stream:shared', '*', 'event_type', 'proxy_created', 'n', '1')
    expect(await waiting).toEqual([{ id, fields: { event_type: 'proxy_created', n: '1' } }])
    const own = await streams.add('shared', { n: '2' })
    expect(await client.xrange('flowkeep:stream:shared', own, own)).toEqual([[own, ['n', '2']]])
    const ended = streams.read('shared', { block: true, after: own })
    await until(async () => String(await client.client('LIST')).includes('cmd=xread'), 'it waits')
    await storage.close()
    await expect(ended).rejects.toMatchObject({ code: 'STORAGE_CLOSED' })
  })

  it('a consumer waits a server out that is away', async () => {
    const away = await OwnServer.start()
    const storage = new RedisAdapter(away.url)
    const seen: string[] = []
    const stop = new AbortController()
    const consumed = storage.streams.consume('s', 'g', ({ fields }) => seen.push(fields.n ?? ''), {
      signal: stop.signal,
    })
    await storage.streams.add('s', { n: '1' })
    await until(() => seen.length === 1, 'it consumes')
    await away.kill()
    await away.start()
    await until(() => storage.streams.add('s', { n: '2' }).catch(() => undefined), 'the server is back')
    await until(() => seen.includes('2'), 'it goes on', PATIENCE_MS)
    stop.abort()
    await consumed
    await storage.close()
    await away.dispose()
  })
})
