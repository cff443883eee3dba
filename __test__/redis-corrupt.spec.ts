import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Fixture, newUser } from './behavior/fixture.js'
import { chainKind, createOne, field, idOf, type Kind, kinds, stepKind } from './behavior/kinds.js'
import { CorruptError, RedisAdapter } from './support/flowkeep.js'
import { census, rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'
import { refusal } from './support/refusal.js'

type Damage = (text: string) => string | Buffer

const url = redisUrl()
const prefix = uniquePrefix()
let client: Redis

beforeAll(() => {
  client = rawClient(url)
})

afterAll(async () => {
  await sweep(client, prefix)
  client.disconnect()
})

/** The fields of a tree's hash that hold its log: what was said of a record there stays as it was. */
const isEvent = (name: string) => /^e\d+$/.test(name)

/** Replaces every stored record whose text holds the marker, whatever key it is in. Says how many there were. */
async function spoil(marker: string, damage: Damage): Promise<number> {
  let count = 0
  for (const key of await census(client, prefix)) {
    if ((await client.type(key)) !== 'hash') continue
    for (const [name, text] of Object.entries(await client.hgetall(key))) {
      if (isEvent(name) || !text.includes(marker)) continue
      await client.hset(key, name, damage(text))
      count++
    }
  }
  return count
}

const damages: readonly [string, Damage][] = [
  ['garbage', () => 'garbage'],
  ['nothing', () => ''],
  ['other JSON', () => '[1,2,3]'],
  ['an empty object', () => '{}'],
  ['a torn text', (text) => text.slice(0, Math.floor(text.length / 2))],
  ['bytes that are not UTF-8', () => Buffer.from([0xff, 0xfe, 0x00, 0x80])],
  ['a text with more behind it', (text) => `${text}}garbage`],
]

/** A reader that has never seen the records before. */
async function withReader<T>(onCorrupt: 'throw' | 'skip', use: (fixture: Fixture) => Promise<T>): Promise<T> {
  const storage = new RedisAdapter(url, { prefix, onCorrupt })
  try {
    return await use(new Fixture(storage))
  } finally {
    await storage.close()
  }
}

let markers = 0

/** A parent with a good, a damaged and another good child. */
async function damagedFamily(kind: Kind, damage: Damage) {
  return withReader('throw', async (fixture) => {
    const marker = `marker-${++markers}-`
    const parent = await kind.newParent(fixture)
    const children = []
    for (const name of ['good', marker, 'fine'])
      children.push(await kind.create(fixture.storage, parent, name))
    expect(await spoil(marker, damage)).toBe(1)
    const [good, bad, fine] = children.map((child) => idOf(kind, child))
    return { parent, good: good ?? '', bad: bad ?? '', fine: fine ?? '' }
  })
}

describe.each(kinds)('a damaged record: $name', (kind) => {
  const family = (damage: Damage) => damagedFamily(kind, damage)

  it.each(damages)('with %s is an error for its own id, and hides no other', async (_, damage) => {
    const { parent, good, bad, fine } = await family(damage)
    await withReader('throw', async ({ storage }) => {
      await refusal(kind.get(storage, bad), CorruptError, 'STORAGE_CORRUPT')
      await refusal(kind.update(storage, bad, { [kind.text]: 'new' }), CorruptError, 'STORAGE_CORRUPT')
      await refusal(kind.list(storage, parent), CorruptError, 'STORAGE_CORRUPT')
      expect(await kind.get(storage, good)).toMatchObject({ [kind.text]: 'good' })
      expect(await kind.update(storage, fine, { [kind.text]: 'finer' })).toMatchObject({
        [kind.text]: 'finer',
      })
    })
  })

  it.each(damages)('with %s is left out where the storage is told to', async (_, damage) => {
    const { parent, good, bad, fine } = await family(damage)
    await withReader('skip', async ({ storage }) => {
      const list = await kind.list(storage, parent)
      expect(list.map((record) => idOf(kind, record))).toEqual([good, fine])
      await refusal(kind.get(storage, bad), CorruptError, 'STORAGE_CORRUPT')
    })
  })

  it('says which record it is, and nothing of what it held', async () => {
    const { bad } = await family(() => 'secret-value-in-the-record')
    await withReader('throw', async ({ storage }) => {
      const error = await refusal(kind.get(storage, bad), CorruptError, 'STORAGE_CORRUPT')
      expect(error).toMatchObject({ retryable: false, operation: `get${kind.name}` })
      expect(`${error.message}${error.stack}`).not.toContain('secret-value')
      expect(error.message).toContain(bad)
    })
  })

  it('does not stop the making of another', () =>
    withReader('throw', async (fixture) => {
      const { parent } = await family(() => 'garbage')
      const record = await kind.create(fixture.storage, parent, 'next')
      expect(field(record, kind.text)).toBe('next')
      expect(await createOne(kind, fixture)).toMatchObject({ version: 1 })
    }))
})

it('a whole record in the place of one of another kind is an error for its id', async () => {
  const marker = `marker-${++markers}-`
  const ids = await withReader('throw', async ({ storage }) => {
    const { sessionId } = await storage.createSession(newUser(), { title: marker })
    const { chainId } = await storage.createChain(sessionId, { title: marker })
    return [sessionId, chainId, (await storage.createStep(chainId, { action: marker })).stepId]
  })
  const texts: string[] = []
  const keep: Damage = (text) => {
    texts.push(text)
    return text
  }
  expect(await spoil(marker, keep)).toBe(3)
  const next = new Map(texts.map((text, place) => [text, texts[(place + 1) % 3] ?? '']))
  expect(await spoil(marker, (text) => next.get(text) ?? '')).toBe(3)
  await withReader('throw', async ({ storage }) => {
    for (const [place, kind] of kinds.entries()) {
      await refusal(kind.get(storage, ids[place] ?? ''), CorruptError, 'STORAGE_CORRUPT')
    }
  })
})

describe.each([chainKind, stepKind])('a damaged record below another: $name', (kind) => {
  it('goes with its parent', async () => {
    const { parent, bad } = await damagedFamily(kind, () => 'garbage')
    await withReader('throw', async ({ storage }) => {
      if (kind === chainKind) await storage.deleteSession(parent)
      else await storage.deleteChain(parent)
      expect(await kind.get(storage, bad)).toBeNull()
    })
  })
})
