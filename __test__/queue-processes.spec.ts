import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { openStorage, RedisAdapter } from './support/flowkeep.js'
import { census, rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'
import { until } from './support/until.js'

vi.setConfig({ testTimeout: 240_000 })

const url = redisUrl()
const prefix = uniquePrefix()
const storage = new RedisAdapter(url, { prefix, timeoutMs: 20_000 })
const client = rawClient(url)
const script = join(__dirname, 'support/queue-worker.mjs')

/** `npm run test:queues` plays it whole. */
const whole = process.env.FLOWKEEP_TEST_QUEUES === 'whole'
const ITEMS = whole ? 10_000 : 1_500
const KILL_EVERY_MS = 200

afterAll(async () => {
  await storage.close()
  await sweep(client, prefix)
  client.disconnect()
})

const start = (...args: string[]): ChildProcess =>
  fork(script, [url, prefix, ...args], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })

describe('processes that read one queue', () => {
  it('lose nothing when half of them are killed again and again', async () => {
    const said = new Map<number, number>()
    const readers = new Set<ChildProcess>()
    let [kills, over] = [0, false]
    const read = (): void => {
      const child = start('consume', 'jobs', '1')
      readers.add(child)
      child.on('message', ({ n }: { n: number }) => said.set(n, (said.get(n) ?? 0) + 1))
      child.on('exit', () => {
        readers.delete(child)
        if (!over) read()
      })
    }
    for (let n = 0; n < 6; n++) read()
    const killing = setInterval(() => {
      for (const child of [...readers].slice(0, 3)) if (child.kill('SIGKILL')) kills++
    }, KILL_EVERY_MS)
    // Items come slower than they are read, so that many of the kills fall between them.
    for (let n = 0; n < ITEMS; n += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, i) => storage.queue.push('jobs', { n: n + i })))
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    await until(() => kills >= 12, 'enough of them were killed', 60_000)
    clearInterval(killing)
    await until(() => said.size === ITEMS, 'every item was read', 120_000)
    await until(
      async () => Object.values(await storage.queue.counts('jobs')).every((count) => count === 0),
      'every item was acknowledged',
      60_000,
    )
    over = true
    await storage.queue.close('jobs')
    await Promise.all([...readers].map((child) => once(child, 'exit')))
    const twice = [...said.values()].reduce((sum, times) => sum + times - 1, 0)
    // A process has two readers, each of which holds one item: no more was in flight when it was killed.
    expect(twice).toBeLessThanOrEqual(2 * kills)
    expect([said.size, Math.min(...said.keys()), Math.max(...said.keys())]).toEqual([ITEMS, 0, ITEMS - 1])
  })

  it('are ended by their end, not by a timeout: a reader that was killed while it waited leaves nothing behind', async () => {
    const child = start('consume', 'idle', '1')
    await until(async () => String(await client.client('LIST')).includes('cmd=blmove'), 'it waits')
    child.kill('SIGKILL')
    await once(child, 'exit')
    await storage.queue.push('idle', { n: 1 })
    expect(await storage.queue.pop('idle', { timeoutSeconds: 5 })).toEqual({ n: 1 })
    // That the item has come is told behind the pop's back.
    const left = async () => (await census(client, prefix)).filter((key) => key.includes('idle'))
    await until(async () => (await left()).length === 0, 'nothing is left')
  })
})

describe('processes that want one value', () => {
  it('50 callers in 4 processes compute it once', async () => {
    const children = Array.from({ length: 4 }, (_, n) => start('compute', 'value', n < 2 ? '13' : '12'))
    await Promise.all(children.map((child) => once(child, 'message')))
    const answers = children.map((child) => once(child, 'message'))
    for (const child of children) child.send('go')
    const told = (await Promise.all(answers)).map(
      ([answer]) => answer as { computed: number; values: object[] },
    )
    expect(told.reduce((sum, { computed }) => sum + computed, 0)).toBe(1)
    const values = told.flatMap((answer) => answer.values)
    expect(values).toHaveLength(50)
    expect(new Set(values.map((value) => JSON.stringify(value))).size).toBe(1)
    await Promise.all(children.map((child) => child.exitCode ?? once(child, 'exit')))
  })

  it('another one computes when the first is killed', async () => {
    const slow = await openStorage({ backend: 'redis', url, prefix })
    await client.set(`{${prefix}cache:orphan}:flight`, 'of-the-dead', 'PX', 300)
    expect(await slow.cache.getOrSet('orphan', () => 'mine', { leaseSeconds: 1 })).toBe('mine')
    await slow.close()
  })
})

describe('a queue and a cache that other programs use', () => {
  it('are a plain list and a plain text', async () => {
    await client.lpush(`${prefix}queue:shared`, '{"n":1}')
    await storage.queue.push('shared', { n: 2 })
    expect(await client.lrange(`${prefix}queue:shared`, 0, -1)).toEqual(['{"n":2}', '{"n":1}'])
    expect(await storage.queue.pop('shared', { timeoutSeconds: 0 })).toEqual({ n: 1 })
    expect(await client.rpop(`${prefix}queue:shared`)).toBe('{"n":2}')
    await storage.cache.set('shared', [1, { a: 'ü' }], { ttlSeconds: 60 })
    expect(await client.get(`${prefix}cache:shared`)).toBe('[1,{"a":"ü"}]')
    const left = await client.pttl(`${prefix}cache:shared`)
    expect(left).toBeGreaterThan(50_000)
    expect(left).toBeLessThanOrEqual(60_000)
    await client.set(`${prefix}cache:theirs`, '"text"')
    expect(await storage.cache.get('theirs')).toBe('text')
  })

  it('a push of another program wakes who waits', async () => {
    const popped = storage.queue.pop('woken')
    await until(async () => String(await client.client('LIST')).includes('cmd=blmove'), 'it waits')
    await client.rpush(`${prefix}queue:woken`, '"hello"')
    expect(await popped).toBe('hello')
  })

  it('one bad item fails one call, not the queue, and a bad value is never an absent one', async () => {
    await client.lpush(`${prefix}queue:mixed`, 'no json', '{"n":1}')
    await expect(storage.queue.pop('mixed', { timeoutSeconds: 0 })).rejects.toMatchObject({
      code: 'STORAGE_CORRUPT',
    })
    expect(await storage.queue.pop('mixed', { timeoutSeconds: 0 })).toEqual({ n: 1 })
    expect(await storage.queue.deadLetters('mixed')).toEqual([null])
    await client.set(`${prefix}cache:bad`, Buffer.from([0xff, 0xfe]))
    await expect(storage.cache.get('bad')).rejects.toMatchObject({ code: 'STORAGE_CORRUPT' })
  })

  it('share one connection, opened with the first call', async () => {
    const fresh = new RedisAdapter(url, { prefix })
    const { queue, cache } = fresh
    expect((await fresh.status()).connections).toBe(0)
    await queue.push('one', 1)
    await cache.set('one', 1)
    await fresh.createSession('u', {})
    expect(await fresh.status()).toMatchObject({ connections: 1, state: 'healthy' })
    expect([fresh.queue, fresh.cache]).toEqual([queue, cache])
    const waiting = queue.pop('nothing comes')
    await until(async () => (await fresh.status()).connections > 1, 'it waits on a connection of its own')
    await fresh.close()
    await expect(waiting).rejects.toMatchObject({ code: 'STORAGE_CLOSED' })
    await expect(cache.get('one')).rejects.toMatchObject({ code: 'STORAGE_CLOSED' })
  })
})
