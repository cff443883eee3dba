// What connections go through, and what of it callers see: as little as can be.
import { afterEach, describe, expect, it } from 'vitest'
import { startRedis } from '../scripts/servers.mjs'
import { existing, Fixture } from './behavior/fixture.js'
import { full } from './faults/stage.js'
import {
  ConfigError,
  type IStorage,
  RedisAdapter,
  type StorageOptions,
  UnavailableError,
} from './support/flowkeep.js'
import { Load } from './support/load.js'
import { TcpProxy } from './support/proxy.js'
import { rawClient, uniquePrefix } from './support/redis.js'
import { refusal } from './support/refusal.js'
import { freePort, OwnServer, ScriptedServer } from './support/server.js'
import { until } from './support/until.js'

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function adapter(url: string, options: StorageOptions = {}): IStorage {
  const storage = new RedisAdapter(url, { prefix: uniquePrefix(), ...options })
  ends.push(() => storage.close())
  return storage
}

async function server(...args: string[]) {
  const started = await startRedis({ args })
  const admin = rawClient(started.url)
  ends.push(started.stop, () => admin.disconnect())
  return { ...started, admin }
}

async function proxy(port: number): Promise<TcpProxy> {
  const started = await TcpProxy.start(port)
  ends.push(() => started.dispose())
  return started
}

const later = (ms: number, act: () => unknown) => setTimeout(() => void act(), ms)

/** Counts the turns of the loop from now on. */
function turnsOfTheLoop() {
  let [turn, counting] = [0, true]
  const count = (): void => {
    turn += 1
    if (counting) setImmediate(count)
  }
  count()
  return {
    now: () => turn,
    end: () => {
      counting = false
    },
  }
}

describe('calls under way together', () => {
  it('are told in portions where they are many, so that others come in between', async () => {
    const { url } = await server()
    const storage = adapter(url)
    const session = await new Fixture(storage).session()
    const turns = turnsOfTheLoop()
    const told = new Map<number, number>()
    const calls = Array.from({ length: 2_000 }, async () => {
      await storage.getSession(session.sessionId)
      const turn = turns.now()
      told.set(turn, (told.get(turn) ?? 0) + 1)
    })
    await Promise.all(calls)
    turns.end()
    // A portion of 32 by what came and one of the rest, one by the tick, and at the end halves of what is left. Half of all is 1,000.
    expect(Math.max(...told.values())).toBeLessThan(5 * 32)
    expect([...told.values()].reduce((sum, count) => sum + count)).toBe(2_000)
  })

  it('are told half of them at a time, so that the server works on what follows from the first half', async () => {
    const { url } = await server()
    const storage = adapter(url)
    const session = await new Fixture(storage).session()
    const turns = turnsOfTheLoop()
    const toldIn = async (call: Promise<unknown>): Promise<number> => {
      await call
      return turns.now()
    }
    const told = await Promise.all(
      Array.from({ length: 16 }, () => toldIn(storage.getSession(session.sessionId))),
    )
    turns.end()
    const together = [...new Set(told)].map((one) => told.filter((other) => other === one).length)
    expect(Math.max(...together)).toBeLessThanOrEqual(8)
    expect(told).toEqual(told.toSorted((one, other) => one - other))
  })

  it('are all told when the storage is closed, however many there are', async () => {
    const { url } = await server()
    const storage = new RedisAdapter(url, { prefix: uniquePrefix() })
    await storage.listSessions('nobody')
    const calls = Array.from({ length: 3_000 }, () => storage.listSessions('nobody'))
    const ends = Promise.allSettled(calls)
    await new Promise(setImmediate)
    await storage.close()
    const settled = await ends
    expect(settled).toHaveLength(3_000)
    for (const end of settled) {
      if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'STORAGE_CLOSED' })
    }
  })
})

describe('what a server refuses for a while is asked again, and nobody sees it', () => {
  it('a replica that becomes a master', async () => {
    const { url, admin } = await server('--replica-serve-stale-data', 'no')
    const storage = adapter(url)
    const session = await new Fixture(storage).session()
    for (const role of ['READONLY', 'MASTERDOWN']) {
      if (role === 'READONLY') await admin.config('SET', 'replica-serve-stale-data', 'yes')
      else await admin.config('SET', 'replica-serve-stale-data', 'no')
      await admin.replicaof('127.0.0.1', await freePort())
      later(300, () => admin.replicaof('NO', 'ONE'))
      const [updated, read] = await Promise.all([
        storage.updateSession(session.sessionId, { title: role }),
        storage.listSessions(session.userId),
      ])
      expect([updated.title, read.length]).toEqual([role, 1])
      expect(existing(await storage.getSession(session.sessionId)).title).toBe(role)
    }
  })

  it('a server that is busy, or has forgotten the script', async () => {
    const { url, admin } = await server('--lua-time-limit', '20')
    const storage = adapter(url)
    const { sessionId } = await new Fixture(storage).session()
    const busy = rawClient(url)
    ends.push(() => busy.disconnect())
    const script = `local t = redis.call('TIME')
      local from = t[1] * 1000 + t[2] / 1000
      repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > from + 400`
    const running = busy.eval(script, 0)
    await until(
      () =>
        admin.ping().then(
          () => false,
          (error: Error) => error.message.startsWith('BUSY'),
        ),
      'it is busy',
    )
    expect(await storage.updateSession(sessionId, { title: 'busy' })).toMatchObject({ version: 2 })
    await running
    for (let version = 3; version < 20; version++) {
      await admin.script('FLUSH')
      expect(await storage.updateSession(sessionId, { title: `${version}` })).toMatchObject({ version })
    }
  })

  it('a server that is still loading', async () => {
    const server = await OwnServer.start()
    ends.push(() => server.dispose())
    const prefix = uniquePrefix()
    const storage = adapter(server.url, { prefix, timeoutMs: 20_000 })
    const { sessionId } = await new Fixture(storage).session()
    const admin = rawClient(server.url)
    ends.push(() => admin.disconnect())
    await admin.mset(Object.fromEntries(Array.from({ length: 2_000 }, (_, n) => [`filling-${n}`, 'x'])))
    // Only a snapshot is loaded as slowly as one likes.
    await admin.bgrewriteaof()
    const done = async () => {
      const words = await admin.info('persistence')
      return ['aof_rewrite_in_progress:0', 'aof_rewrite_scheduled:0'].every((word) => words.includes(word))
    }
    await until(done, 'the snapshot is written')
    await server.kill()
    await server.start({
      args: ['--key-load-delay', '500', '--loading-process-events-interval-bytes', '1024'],
      waits: false,
    })
    // One that does not wait until the server is ready.
    const busy = rawClient(server.url, { enableReadyCheck: false })
    busy.on('error', () => undefined)
    ends.push(() => busy.disconnect())
    const isLoading = () =>
      busy.ping().then(
        () => false,
        (error: Error) => error.message.startsWith('LOADING'),
      )
    await until(isLoading, 'it is loading')
    expect(await storage.updateSession(sessionId, { title: 'loaded' })).toMatchObject({ version: 2 })
  })

  it('a server that pauses its clients', async () => {
    const { url, admin } = await server()
    const storage = adapter(url)
    const { sessionId } = await new Fixture(storage).session()
    await admin.client('PAUSE', 500)
    expect(await storage.updateSession(sessionId, { title: 'after' })).toMatchObject({ version: 2 })
  })
})

describe('what fails writes alone', () => {
  const causes = {
    NOREPLICAS: async () => {
      const { url, admin } = await server()
      return { url, begin: () => admin.config('SET', 'min-replicas-to-write', '1') }
    },
    MISCONF: async () => {
      const { url, admin } = await server('--enable-protected-configs', 'yes', '--save', '3600 1000000')
      const begin = async () => {
        await admin.config('SET', 'dir', '/proc')
        await admin.bgsave()
        await until(
          async () => (await admin.info('persistence')).includes('bgsave_status:err'),
          'saving fails',
        )
      }
      return { url, begin }
    },
    OOM: async () => {
      const { url, admin } = await server()
      return { url, begin: () => admin.config('SET', 'maxmemory', '1') }
    },
  }

  it.each(Object.entries(causes))('%s', async (word, make) => {
    const { url, begin } = await make()
    const storage = adapter(url)
    const session = await new Fixture(storage).session()
    await begin()
    const error = await refusal(storage.createSession('ann', {}), UnavailableError, 'STORAGE_UNAVAILABLE')
    expect(error).toMatchObject({ outcome: 'not-applied', message: expect.stringContaining(word) })
    expect(await storage.getSession(session.sessionId)).toMatchObject({ version: 1 })
    expect(await storage.listSessions(session.userId)).toHaveLength(1)
  })
})

describe('a connection', () => {
  it('that is dead without a word is found and dialled again within 2 s', async () => {
    const { port } = await server()
    const line = await proxy(port)
    const storage = adapter(line.url)
    const { sessionId } = await new Fixture(storage).session()
    const before = line.connections
    line.trouble = { blackhole: true }
    const from = performance.now()
    const read = storage.getSession(sessionId, { timeoutMs: 10_000 })
    await until(() => line.connections > before, 'it is dialled again', 20_000)
    // A machine that is busy with other tests is given more.
    expect(performance.now() - from).toBeLessThan(full ? 2_000 : 10_000)
    line.trouble = {}
    expect(await read).toMatchObject({ sessionId })
  })

  it('in small pieces, late and narrow, carries everything', async () => {
    const { port } = await server()
    const line = await proxy(port)
    line.trouble = { latencyMs: 2, sliceBytes: 64 }
    const storage = adapter(line.url, { timeoutMs: 20_000 })
    await storage.listSessions('ann')
    line.trouble = { latencyMs: 2, bytesPerSecond: 500_000 }
    const sessions = await Promise.all(
      Array.from({ length: 20 }, (_, n) => storage.createSession('ann', { title: `t${n}` })),
    )
    const read = await Promise.all(sessions.map(({ sessionId }) => storage.getSession(sessionId)))
    expect(read.map((session) => session?.title)).toEqual(sessions.map(({ title }) => title))
  })

  it('that is killed again and again gives nobody the reply of another', { timeout: 60_000 }, async () => {
    const { url, admin } = await server()
    const prefix = uniquePrefix()
    const storage = adapter(url, { prefix })
    const load = await Load.start(storage, 20)
    const titles = Array.from({ length: 20 }, (_, n) => `session ${n}`)
    const sessions = await Promise.all(titles.map((title) => storage.createSession('ann', { title })))
    let [reads, wrong, killed] = [0, 0, 0]
    const end = Date.now() + 2500
    const reading = titles.map(async (title, n) => {
      while (Date.now() < end) {
        const found = await storage.getSession(sessions[n]?.sessionId ?? '').catch(() => undefined)
        if (found === undefined) continue
        reads++
        if (found?.title !== title) wrong++
      }
    })
    while (Date.now() < end) {
      killed += Number(await admin.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes'))
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    await Promise.all(reading)
    await load.progress()
    await load.stop()
    expect({ wrong, ...(await load.look(adapter(url, { prefix }))) }).toEqual({
      wrong: 0,
      lost: [],
      twice: [],
    })
    expect(killed).toBeGreaterThan(10)
    expect(reads).toBeGreaterThan(100)
    for (const complaint of load.complaints) expect(complaint).toMatch(/^STORAGE_UNAVAILABLE: /)
  })
})

describe('a user', () => {
  it.each(['/0', '/3'])('of few rights suffices, in database %s', async (database) => {
    const { url, admin } = await server()
    await admin.acl(
      'SETUSER',
      'app',
      'on',
      '>secret',
      'resetchannels',
      '~mine:*',
      '+@all',
      '-@admin',
      '-@dangerous',
    )
    const storage = adapter(url.replace('//', '//app:secret@') + database, { prefix: 'mine:' })
    const { sessionId, userId } = await new Fixture(storage).session()
    expect(await storage.updateSession(sessionId, { title: 'mine' })).toMatchObject({ version: 2 })
    expect(await storage.listSessions(userId)).toHaveLength(1)
    const others = adapter(url.replace('//', '//app:secret@'), { prefix: 'others:' })
    await refusal(others.createSession('ann', {}), ConfigError, 'STORAGE_CONFIG')
  })
})

describe('a wrong password', () => {
  it('is told at once, and tried at most once a second', async () => {
    const dials: number[] = []
    const scripted = await ScriptedServer.start((socket, data) => {
      if (data.includes('AUTH')) dials.push(performance.now())
      socket.write('-WRONGPASS invalid username-password pair or user is disabled.\r\n'.repeat(8))
    })
    ends.push(() => scripted.dispose())
    const storage = adapter(scripted.url.replace('//', '//:wrong@'))
    const end = performance.now() + 2500
    while (performance.now() < end) {
      const error = await refusal(
        storage.listSessions('ann', { timeoutMs: 300 }),
        ConfigError,
        'STORAGE_CONFIG',
      )
      expect(error).toMatchObject({ retryable: false, outcome: 'not-applied' })
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(dials.length).toBeGreaterThan(1)
    const gaps = dials.slice(1).map((at, n) => at - (dials[n] ?? 0))
    expect(Math.min(...gaps)).toBeGreaterThan(990)
  })
})
