// What is broken in a collection's keys by other hands: found, mended while others work, and never believed meanwhile.
import type { Redis } from 'ioredis'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { type Collection, ConflictError, RedisAdapter } from './support/flowkeep.js'
import { census, rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'
import { refusal } from './support/refusal.js'
import { until } from './support/until.js'

interface Route {
  id: string
  path: string
  priority: number
  hash: string
  kind: string
}

const url = redisUrl()
const prefix = uniquePrefix()
const storage = new RedisAdapter(url, { prefix, timeoutMs: 20_000 })
const client = rawClient(url)
const RECORDS = 30

afterAll(async () => {
  await storage.close()
  await sweep(client, prefix)
  client.disconnect()
})

const shape = {
  id: 'id',
  unique: [['path', 'priority']],
  lookup: ['hash'],
  orderBy: 'priority',
  sets: ['kind'],
} as const

interface Keys {
  records: string
  order: string
  sets: string
  ends: string
}

let count = 0
let routes: Collection<Route>
let keys: Keys

const route = (n: number, more: Partial<Route> = {}): Route => ({
  id: `r${n}`,
  path: `/${n}`,
  priority: n,
  hash: `h${n}`,
  kind: n % 2 === 0 ? 'even' : 'odd',
  ...more,
})

beforeEach(async () => {
  const name = `routes-${++count}`
  routes = storage.collection<Route>(name, shape)
  for (let n = 0; n < RECORDS; n++) {
    await routes.create(route(n), n % 5 === 0 ? { ttlSeconds: 1_000 } : {})
  }
  const all = (await census(client, prefix)).filter((key) => key.endsWith(`:${name}`))
  const key = (space: string) => all.find((one) => one.endsWith(`:${space}:${name}`)) ?? ''
  keys = { records: key('c'), order: key('co'), sets: key('cs'), ends: key('cx') }
  expect(Object.values(keys)).not.toContain('')
})

const whole = { records: RECORDS, problems: [], mended: 0 }
/** The field of a second key, as it is stored. */
const second = (hash: string) => `l["hash","${hash}"]`

const damages: Record<string, (redis: Redis) => Promise<unknown>> = {
  'keys that are gone': (redis) =>
    redis.hdel(keys.records, second('h1'), second('h2'), 'u[["path","priority"],["/3",3]]'),
  'keys of nothing': (redis) => redis.hset(keys.records, second('left over'), 'r9999\0', second('odd'), 'x'),
  'keys that stand for another record': async (redis) => {
    const held = (await redis.hget(keys.records, second('h3'))) ?? ''
    await redis.hset(keys.records, second('h4'), held, second('h5'), held)
  },
  'an order that is gone': (redis) => redis.del(keys.order),
  'an order that is wrong': (redis) => redis.zadd(keys.order, 99, 'r1', -7, 'r2', 3, 'nobody'),
  'sets that are gone': (redis) => redis.del(keys.sets),
  'sets that name what is not there': (redis) =>
    redis.zadd(keys.sets, 0, '"kind""even"\0nobody', 0, '"kind""even"\0r1', 0, 'rubbish'),
  'ends that are gone': (redis) => redis.del(keys.ends),
  'ends that are wrong': (redis) => redis.zadd(keys.ends, 1, 'nobody', 1, 'r1', 5, 'r5'),
  'records that are gone': (redis) => redis.hdel(keys.records, 'rr7', 'rr8'),
}

describe('a damaged collection', () => {
  it.each(Object.entries(damages))('%s: found by verify, mended by one repair', async (_, damage) => {
    expect(await routes.verify()).toEqual(whole)
    await damage(client)
    const found = await routes.verify()
    expect(found.problems.length).toBeGreaterThan(0)
    const repaired = await routes.repair()
    expect(repaired.mended).toBe(repaired.problems.length)
    expect(await routes.verify()).toEqual({ ...whole, records: found.records })
    const left = await client.hkeys(keys.records)
    const ids = left.filter((field) => field.startsWith('r')).map((field) => field.slice(1))
    expect((await routes.list()).items.map((item) => item.id)).toEqual(
      ids.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1))),
    )
    for (const id of ids) expect((await routes.getBy('hash', `h${id.slice(1)}`))?.id).toBe(id)
    const even = (await routes.in('kind', 'even')).items.map((item) => item.id)
    expect(even.sort()).toEqual(ids.filter((id) => Number(id.slice(1)) % 2 === 0).sort())
  })

  it('is mended while others write, and loses nothing of what they write', async () => {
    let over = false
    const writer = async (lane: number) => {
      for (let n = 0; !over; n++) {
        const id = RECORDS + lane
        await routes.put(route(id, { path: `/w${lane}-${n % 7}`, hash: `w${lane}-${n % 7}` }))
        await routes.update(`r${lane}`, { hash: `u${lane}-${n}` })
        if (n % 3 === 2) await routes.delete(`r${id}`)
      }
    }
    const writers = [0, 1, 2, 3].map(writer)
    for (const damage of Object.values(damages).slice(0, -1)) {
      await damage(client)
      await routes.repair()
    }
    over = true
    await Promise.all(writers)
    await routes.repair()
    const { problems, records } = await routes.verify()
    expect(problems).toEqual([])
    expect(records).toBe(await routes.count())
    const all = (await routes.list()).items
    for (const record of all) expect((await routes.getBy('hash', record.hash))?.id).toBe(record.id)
  })

  it('a key that stands for another record gives nothing out, and does not keep its owner from it', async () => {
    await client.hset(keys.records, second('stolen'), 'r1\0')
    expect(await routes.getBy('hash', 'stolen')).toBeNull()
    expect(await routes.update('r2', { hash: 'stolen' })).toMatchObject({ hash: 'stolen' })
    expect((await routes.getBy('hash', 'stolen'))?.id).toBe('r2')
    await client.hset(keys.records, second('mine'), 'r3\0')
    await routes.update('r3', { hash: 'mine' })
    await client.hset(keys.records, second('of nobody'), 'nobody\0')
    await routes.create(route(RECORDS, { hash: 'of nobody' }))
    expect(await routes.verify()).toEqual({ ...whole, records: RECORDS + 1 })
  })

  it('two records with one key stay two, and are told', async () => {
    const text = (await client.hget(keys.records, 'rr2')) ?? ''
    await client.hset(keys.records, 'rr2', text.replace('"h2"', '"h1"'))
    const repaired = await routes.repair()
    expect(repaired.problems.length).toBeGreaterThan(repaired.mended)
    const { problems, records } = await routes.verify()
    expect(problems).toEqual([{ id: 'r2', problem: 'another record holds its key hash' }])
    expect(records).toBe(RECORDS)
    await routes.update('r2', { kind: 'other' })
    expect((await routes.getBy('hash', 'h1'))?.id).toBe('r1')
    await refusal(routes.create(route(RECORDS, { hash: 'h1' })), ConflictError, 'STORAGE_EXISTS')
    await routes.update('r2', { hash: 'h2' })
    await routes.repair()
    expect(await routes.verify()).toEqual(whole)
  })

  it('one that can not be read is told, fails alone, and keeps its keys', async () => {
    const text = (await client.hget(keys.records, 'rr2')) ?? ''
    await client.hset(keys.records, 'rr2', 'rubbish')
    expect((await routes.repair()).problems).toEqual([{ id: 'r2', problem: "can't be read" }])
    await expect(routes.get('r2')).rejects.toMatchObject({ code: 'STORAGE_CORRUPT' })
    expect((await routes.get('r3'))?.hash).toBe('h3')
    await client.hset(keys.records, 'rr2', text)
    expect(await routes.verify()).toEqual(whole)
  })

  it('an end that names nothing does not keep what is over from being removed', async () => {
    await client.zadd(keys.ends, 1, 'nobody', 2, 'nobody else', 3, 'r1')
    for (let n = 0; n < 4; n++) await routes.create(route(100 + n), { ttlSeconds: 0.01 })
    await until(async () => {
      await routes.update('r1', { kind: 'odd' })
      return (await client.hlen(keys.records)) === RECORDS * 3 && (await routes.count()) === RECORDS
    }, 'what is over has been removed')
    expect(await routes.verify()).toEqual(whole)
  })
})
