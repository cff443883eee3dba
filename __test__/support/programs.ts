// Random programs: calls on one store, the same ones for whoever has the same seed.
import type { StorageError } from './flowkeep.js'
import { requestLogs } from './log-programs.js'
import { type Chance, type Program, program } from './random.js'
import { until } from './until.js'

const texts = ['', 'a', 'ü\u{1F600}', '{"n":1,"a":[],"o":{}}', '7', '-3', '9007199254740993', '[1]'] as const
const jsons = [null, 0, -1.5, true, 'text', [], {}, { a: [{ b: null }] }, [1, 'x', { y: [] }]] as const

function kv(seed: number, name: string): Program {
  return program(seed, (chance, { kv }) => {
    const key = `{${name}}:${chance.of(['a', 'b', 'c'])}`
    const other = `{${name}}:${chance.of(['a', 'b', 'c'])}`
    const [text, second, number] = [chance.of(texts), chance.of(texts), chance.below(7) - 3]
    const field = chance.of(['f', 'g', ''])
    const bytes = Uint8Array.of(chance.below(256), 255, number & 255)
    const atomic = chance.below(2) === 0
    return chance.of<() => Promise<unknown>>([
      () => kv.set(key, text),
      () => kv.set(key, bytes),
      () => kv.set(key, text, { ttlSeconds: 1_000 }),
      () => kv.get(key),
      () => kv.get(key, { bytes: true }),
      () => kv.getMany([key, other]),
      () => kv.setIfNotExists(key, text),
      () => kv.compareAndSet(key, text, second),
      () => kv.compareAndSet(key, null, second),
      () => kv.updateJson(key, { n: number, more: [] }),
      () => kv.increment(key, number),
      () => kv.delete([key, other]),
      () => kv.exists(key),
      () => kv.expire(key, 0),
      async () => ((await kv.ttlSeconds(key)) ?? -2) > 0,
      () => kv.hset(key, { [field || 'h']: text, x: bytes }),
      () => kv.hget(key, field || 'h', { bytes: true }),
      () => kv.hgetall(key, { bytes: true }),
      () => kv.hdel(key, [field || 'h', 'x']),
      () => kv.hincrement(key, field || 'h', number),
      () => kv.sadd(key, [text, second]),
      () => kv.srem(key, [text]),
      () => kv.sismember(key, text),
      () => kv.smembers(key),
      () => kv.scard(key),
      () => kv.zadd(key, [{ member: text, score: number }]),
      () =>
        kv.zadd(key, [
          { member: second, score: number / 4 },
          { member: bytes, score: 1 },
        ]),
      () => kv.zrange(key, 0, 5, { descending: atomic }).then((all) => all.length),
      () => kv.zrangeByScore(key, -2, number).then((all) => all.map(({ score }) => score)),
      () => kv.zincrement(key, text, number / 2),
      () => kv.zscore(key, text),
      () => kv.zrem(key, [text]),
      () => kv.zcard(key),
      () =>
        kv
          .pipeline(
            [
              { op: 'set', key, value: text },
              { op: 'increment', key: other, by: number },
              { op: 'hget', key, field: 'f' },
              { op: 'smembers', key: other },
            ],
            { atomic },
          )
          .then((all) => all.map((one) => (one.ok ? one.value : (one.error as StorageError).code))),
    ])
  })
}

function collections(seed: number, name: string): Program {
  interface Thing {
    id: string
    path: string
    rank: number
    kind?: string
    tags?: string[]
  }
  return program(seed, (chance, storage) => {
    const all = storage.collection<Thing>(name, {
      id: 'id',
      unique: [['path', 'rank']],
      lookup: ['tags'],
      orderBy: 'rank',
      sets: ['kind'],
    })
    const [id, path, rank] = [chance.of(['1', '2', '3', '10']), chance.of(['/', '/a']), chance.below(3)]
    const [kind, tag] = [chance.of(['k', 'k2', '']), chance.of(['t', 'u', 'v'])]
    const thing: Thing = {
      id,
      path,
      rank,
      ...(kind ? { kind } : {}),
      ...(rank ? { tags: [tag, `${tag}${id}`] } : {}),
    }
    const listed = { limit: chance.below(3) + 1, descending: rank === 1 }
    return chance.of<() => Promise<unknown>>([
      () => all.create(thing),
      () => all.create(thing, { ttlSeconds: 1_000 }),
      () => all.put(thing),
      () => all.update(id, { rank }),
      () => all.update(id, { tags: [tag] }),
      () => all.update(id, { path: null as never, more: [] } as never),
      () => all.update(id, { id: 'other' }),
      () => all.get(id),
      () => all.getBy('tags', tag),
      () => all.in('kind', kind || 'k'),
      () => all.list(listed),
      () => all.list(),
      () => all.delete(id),
      () => all.take(id),
      () => all.count(),
      () => all.verify(),
      () => all.create({ id } as never),
      () => all.create({ ...thing, rank: 'high' as never }),
    ])
  })
}

function queues(seed: number, name: string): Program {
  return (storage) => {
    const held: { ack(): Promise<boolean>; nack(): Promise<boolean>; extend(): Promise<boolean> }[] = []
    const { queue } = storage
    return program(seed, (chance) => {
      const [item, place] = [chance.of(jsons), chance.below(3)]
      return chance.of<() => Promise<unknown>>([
        () => queue.push(name, item),
        () => queue.push(name, item),
        () => queue.push(name, item, { maxLength: 2 }),
        () => queue.pop(name, { timeoutSeconds: 0 }),
        async () => {
          const taken = await queue.reserve(name, { timeoutSeconds: 0, leaseSeconds: 1_000 })
          if (taken) held.unshift(taken)
          return taken && [taken.data, taken.deliveries]
        },
        async () => held[place]?.ack(),
        async () => held[place]?.nack(),
        async () => held[place]?.nack(),
        async () => held[place]?.extend(),
        () => queue.length(name),
        () => queue.counts(name),
        () => queue.deadLetters(name),
        () => queue.requeue(name, { limit: 1 }),
        () => (place === 0 ? queue.close(name) : queue.reopen(name)),
        () => queue.push(name, undefined),
      ])
    })(storage)
  }
}

function caches(seed: number, name: string): Program {
  return program(seed, (chance, { cache }) => {
    const key = `${name}:${chance.of(['a', '{b}', 'ü'])}`
    const value = chance.of(jsons)
    const options = chance.of([{}, { ttlSeconds: 1_000 }, { ttlSeconds: 1_000, staleSeconds: 1_000 }])
    return chance.of<() => Promise<unknown>>([
      () => cache.set(key, value, { ttlSeconds: 1_000 }),
      () => cache.set(key, value),
      () => cache.get(key),
      () => cache.delete(key),
      () => cache.exists(key),
      () => cache.getOrSet(key, () => value, options),
      () => cache.getOrSet(key, () => null, { ...options, negativeTtlSeconds: 1_000 }),
      () => cache.set(key, value, { ttlSeconds: -1 }),
      () => cache.set(key, () => 1),
    ])
  })
}

function services(seed: number, name: string): Program {
  return (storage) => {
    const ids: string[] = []
    return program(seed, (chance, { service }) => {
      const view = service.call(storage, `${name}${chance.of(['', '/', ':{x}'])}`)
      const [table, history] = [view.table<unknown>(chance.of(['t', 't/u', 'history'])), view.history()]
      const [key, value] = [chance.of(['k', 'k:2', '{k}', 'l']), chance.of(jsons)]
      const request = { method: chance.of(['get', 'POST']), url: `/${chance.of(['a', 'b'])}` }
      const id = ids.at(-1 - chance.below(3)) ?? 'req_00000000000000000000'
      const keep = async (entry: Promise<{ id: string }>) => {
        const made = await entry
        ids.push(made.id)
        return made
      }
      return chance.of<() => Promise<unknown>>([
        () => table.set(key, value),
        () => table.set(key, value, { ttlSeconds: 1_000 }),
        () => table.get(key),
        () => table.has(key),
        () => table.delete(key),
        () => table.data(),
        () => table.entries({ limit: 2 }),
        () => table.clear(),
        () => table.set(key, value, { ttlSeconds: Number.NaN }),
        () => keep(history.record({ request })),
        () => keep(history.record({ request: { ...request, body: value }, response: { status: 200 } })),
        () => history.get(request),
        () => history.getById(id),
        () => history.setResponse(id, { status: 201, body: value }),
        () => history.length(),
        () => history.data(),
        () => history.clear(),
      ])
    })(storage)
  }
}

function streams(seed: number, name: string): Program {
  return (storage) => {
    const { streams } = storage
    const ids: string[] = []
    // Times are the servers' own: an id is the n-th that was added.
    const placed = (id: string) => (ids.includes(id) ? ids.indexOf(id) : id)
    const entries = (list: readonly { id: string; fields: object }[]) =>
      list.map(({ id, fields }) => [placed(id), fields])
    return program(seed, (chance) => {
      const [group, consumer] = [chance.of(['g', 'h']), chance.of(['one', 'two'])]
      const value = chance.of(texts)
      const pick = chance.below(4)
      const id = () => ids.at(-1 - pick) ?? '1-1'
      const limit = chance.below(3) + 1
      const add = async () => {
        ids.push(await streams.add(name, { value, n: `${limit}` }))
        return ids.length
      }
      const drop = async () => {
        const dropped = await streams.delete(name)
        // A stream that is made anew within the same millisecond gives the same ids again.
        const last = Number(ids.at(-1)?.split('-')[0] ?? 0)
        await until(() => Date.now() > last, 'ids are new')
        return dropped
      }
      return chance.of<() => Promise<unknown>>([
        add,
        add,
        add,
        () => streams.read(name, { limit }).then(entries),
        () => streams.read(name, { after: id() }).then(entries),
        () => streams.length(name),
        () => streams.createGroup(name, group, { after: 'start' }),
        () => streams.createGroup(name, group),
        () => streams.deleteGroup(name, group),
        () =>
          streams
            .groups(name)
            .then((all) => all.map((one) => [one.name, one.pending, placed(one.delivered)])),
        () => streams.readGroup(name, group, consumer, { limit }).then(entries),
        () => streams.readGroup(name, group, consumer).then(entries),
        () => streams.ack(name, group, id()),
        () => streams.ack(name, group, ids.slice(0, 3)),
        () =>
          streams
            .pending(name, group)
            .then((all) => all.map((one) => [placed(one.id), one.consumer, one.deliveries])),
        () => streams.claim(name, group, consumer, id()).then(entries),
        () => streams.deadLetters(name),
        () => (pick === 0 ? drop() : streams.length(name)),
      ])
    })(storage)
  }
}

function records(seed: number, name: string): Program {
  return (storage) => {
    const [sessions, chains, steps] = [[] as string[], [] as string[], [] as string[]]
    const last = (ids: string[], chance: Chance, kind: string) =>
      ids.at(-1 - chance.below(2)) ?? `${kind}_00000000000000000000`
    return program(seed, (chance) => {
      const session = last(sessions, chance, 'ses')
      const [chain, step] = [last(chains, chance, 'chn'), last(steps, chance, 'stp')]
      const keep = async <T>(ids: string[], made: Promise<T>, id: (made: T) => string) => {
        const record = await made
        ids.push(id(record))
        return record
      }
      const status = chance.of(['in_progress', 'completed', 'failed', 'skipped'] as const)
      const create = () =>
        keep(sessions, storage.createSession(name, { tags: ['t'] }), (made) => made.sessionId)
      const begin = () => keep(chains, storage.createChain(session, { title: 'c' }), (made) => made.chainId)
      return chance.of<() => Promise<unknown>>([
        create,
        create,
        begin,
        begin,
        () => keep(steps, storage.createStep(chain, { action: 'a' }), (made) => made.stepId),
        () =>
          keep(steps, storage.createStep(chain, { action: 'b', inputs: { n: 1 } }), (made) => made.stepId),
        () => storage.updateStep(step, { status }),
        () => storage.updateStep(step, { status, result: [] }),
        () => storage.updateSession(session, { state: chance.of(['paused', 'active', 'completed']) }),
        () => storage.updateChain(chain, { status: chance.of(['cancelled', 'in_progress', 'failed']) }),
        () => storage.getSession(session),
        () => storage.getChain(chain),
        () => storage.listSteps(chain),
        () => storage.listChains(session),
        () => storage.sessionCounts(name),
        () => storage.events({ sessionId: session }).then(({ items }) => items.map(({ type }) => type)),
        () => storage.deleteStep(step),
        () => storage.deleteChain(chain),
        () => storage.deleteSession(session),
      ])
    })(storage)
  }
}

/** A program of a store from a seed; its name is part of all that it writes. */
export const programs = { kv, collections, queues, caches, services, streams, records, requestLogs }

export type Store = keyof typeof programs
