import Fastify from 'fastify'
import { afterEach, expect, it } from 'vitest'
import {
  CircuitOpenError,
  ConfigError,
  type IStorage,
  MemoryStorage,
  openStorage,
  RedisAdapter,
  ResilientStorage,
  type Storage,
  UnavailableError,
  UnsupportedError,
} from './support/flowkeep.js'
import { rawClient, uniquePrefix } from './support/redis.js'
import { rejection } from './support/refusal.js'
import { OwnServer } from './support/server.js'
import { until } from './support/until.js'

const open: { close(): Promise<void> }[] = []
const servers: OwnServer[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((storage) => storage.close()))
  await Promise.all(servers.splice(0).map((server) => server.dispose()))
})

async function ownServer(): Promise<OwnServer> {
  const server = await OwnServer.start()
  servers.push(server)
  return server
}

function owned<T extends Storage>(storage: T): T {
  open.push(storage)
  return storage
}

const quiet = { info: () => undefined }

async function stateIs(storage: IStorage, state: string): Promise<void> {
  await until(async () => (await storage.status()).state === state, `the storage is ${state}`)
}

/** Makes the storage notice that its server is gone. */
async function lose(storage: IStorage, server: OwnServer, sessionId: string): Promise<void> {
  await server.kill()
  await until(async () => {
    await storage.getSession(sessionId, { timeoutMs: 200 }).catch(() => undefined)
    return (await storage.status()).state === 'degraded'
  }, 'the storage is degraded')
}

it('goes on without its server, and brings it what was written meanwhile', async () => {
  const server = await ownServer()
  const prefix = uniquePrefix()
  const said: string[] = []
  const logger = { info: (text: string) => said.push(text), warn: (text: string) => said.push(text) }
  const storage = owned(await openStorage({ backend: 'redis', url: server.url, prefix, logger }))
  const heard: string[] = []
  for (const type of ['degraded', 'recovering', 'healthy', 'conflict'] as const) {
    storage.on(type, (notice) => heard.push(notice.type))
  }
  const session = await storage.createSession('ann', { title: 'known' })
  expect(session).not.toHaveProperty('pending')
  await lose(storage, server, session.sessionId)

  const stale = await storage.getSession(session.sessionId)
  expect(stale).toMatchObject({ title: 'known', stale: true, asOf: expect.any(Date) })
  expect(stale?.expiresAt).toEqual(session.expiresAt)
  const updated = await storage.updateSession(session.sessionId, { title: 'new' })
  expect(updated).toMatchObject({ title: 'new', version: 2, pending: true })
  const fresh = await storage.createSession('ann', { title: 'fresh' })
  const chain = await storage.createChain(fresh.sessionId, { title: 'chain' })
  const step = await storage.createStep(chain.chainId, { action: 'act' })
  await storage.updateStep(step.stepId, { status: 'in_progress' })
  expect(await storage.listSteps(chain.chainId)).toMatchObject([{ status: 'in_progress', pending: true }])
  expect(await rejection(storage.listSessions('ann'))).toBeInstanceOf(UnavailableError)
  expect(await rejection(storage.getSession('ses_00000000000000000000'))).toBeInstanceOf(UnavailableError)
  expect(await rejection(storage.deleteSession(session.sessionId))).toBeInstanceOf(UnavailableError)
  const status = await storage.status()
  expect(status).toMatchObject({ state: 'degraded', breaker: { state: expect.stringMatching(/open/) } })
  expect(status.journal?.entries).toBe(5)
  expect(status.lastError).toContain('no connection')

  await server.start()
  await stateIs(storage, 'healthy')
  await until(() => heard.includes('healthy'), 'it is told')
  expect(heard).toEqual(['degraded', 'recovering', 'healthy'])
  const words = said.map((text) => text.split(':')[1]?.trim())
  expect(words.filter((word) => word !== 'epoch')).toEqual(['degraded', 'recovering', 'healthy'])
  // The server began anew, and what it had acknowledged might be gone.
  expect(words.filter((word) => word === 'epoch')).toHaveLength(1)
  expect(said.join()).not.toContain('@')
  expect((await storage.status()).journal?.entries).toBe(0)

  // Somebody who knows nothing of the storage that was cut off.
  const other = owned(new RedisAdapter(server.url, { prefix }))
  expect(await other.getSession(session.sessionId)).toMatchObject({ title: 'new', version: 2 })
  expect((await other.listSessions('ann')).map(({ title }) => title)).toEqual(['new', 'fresh'])
  expect(await other.getStep(step.stepId)).toMatchObject({ status: 'in_progress', version: 2 })
  const { items } = await other.events({ sessionId: fresh.sessionId })
  expect(items.map(({ type }) => type)).toEqual([
    'session:created',
    'chain:created',
    'step:created',
    'chain:updated',
    'step:started',
    'chain:started',
  ])
  expect(await storage.conflicts()).toEqual([])
})

it('ends a chain meanwhile, which is archived when the server is back', async () => {
  const server = await ownServer()
  const prefix = uniquePrefix()
  const storage = owned(await openStorage({ backend: 'redis', url: server.url, prefix, logger: quiet }))
  const session = await storage.createSession('ann', {})
  const chain = await storage.createChain(session.sessionId, { title: 'chain' })
  const step = await storage.createStep(chain.chainId, { action: 'act' })
  await storage.updateStep(step.stepId, { status: 'in_progress' })
  await storage.getChain(chain.chainId)
  await lose(storage, server, session.sessionId)
  const done = await storage.updateStep(step.stepId, { status: 'completed', result: 1 })
  expect(done).toMatchObject({ status: 'completed', pending: true })
  expect(await storage.getStep(step.stepId)).toMatchObject({ status: 'completed', result: 1, pending: true })
  expect(await storage.getChain(chain.chainId)).toMatchObject({ status: 'completed', pending: true })
  await server.start()
  await stateIs(storage, 'healthy')
  const other = owned(new RedisAdapter(server.url, { prefix }))
  const ended = { status: 'completed', archivedAt: expect.any(Date) }
  for (const one of [storage, other]) {
    expect(await one.getChain(chain.chainId)).toMatchObject(ended)
    expect(await one.listSteps(chain.chainId)).toMatchObject([{ status: 'completed', result: 1 }])
    expect(await one.listChains(session.sessionId, { archived: 'only' })).toMatchObject([ended])
  }
  const { items } = await other.events({ sessionId: session.sessionId })
  expect(items.map(({ type }) => type).slice(-3)).toEqual([
    'step:completed',
    'chain:completed',
    'chain:archived',
  ])
  expect(await storage.conflicts()).toEqual([])
})

it('writes a conflict down and tells it', async () => {
  const server = await ownServer()
  const prefix = uniquePrefix()
  const options = { backend: 'redis', url: server.url, prefix, logger: quiet } as const
  const storage = owned(await openStorage(options))
  const session = await storage.createSession('ann', { title: 'first' })
  await lose(storage, server, session.sessionId)
  await storage.updateSession(session.sessionId, { title: 'ours' })
  await server.start()
  const other = owned(new RedisAdapter(server.url, { prefix }))
  const conflict = new Promise((resolve) => storage.on('conflict', resolve))
  // Both are racing for the server that is back: ours may be first.
  const theirs = await other.updateSession(session.sessionId, { title: 'theirs' })
  await stateIs(storage, 'healthy')
  if (theirs.version === 2) {
    expect(await conflict).toMatchObject({ resolution: 'remote', change: { data: { title: 'ours' } } })
    expect(await storage.conflicts()).toMatchObject([{ why: 'changed', at: expect.any(Date) }])
    expect(await other.getSession(session.sessionId)).toMatchObject({ title: 'theirs', version: 2 })
  } else {
    expect(await storage.conflicts()).toEqual([])
  }
  expect((await storage.status()).conflicts).toBe(theirs.version === 2 ? 1 : 0)
})

it('rejects at once where nothing is to be kept', async () => {
  const server = await ownServer()
  const adapter = new RedisAdapter(server.url, { prefix: uniquePrefix() })
  const storage = owned(new ResilientStorage(adapter, { onUnavailable: 'reject' }))
  const session = await storage.createSession('ann', {})
  await lose(storage, server, session.sessionId)
  const error = await rejection(storage.updateSession(session.sessionId, { title: 'lost' }))
  expect(error).toBeInstanceOf(CircuitOpenError)
  expect(error).toMatchObject({ retryable: true, outcome: 'not-applied', retryAfterMs: expect.any(Number) })
  await server.start()
  await stateIs(storage, 'healthy')
  expect(await storage.getSession(session.sessionId)).toMatchObject({ version: 1 })
})

it('simulates an outage where that was asked for', async () => {
  const storage = owned(new ResilientStorage(new MemoryStorage(), { chaos: {} }))
  const session = await storage.createSession('ann', { title: 'here' })
  storage.simulateOutage(true)
  await until(async () => {
    await storage.updateSession(session.sessionId, { title: 'changed' }).catch(() => undefined)
    return (await storage.status()).state === 'degraded'
  }, 'the outage is noticed')
  expect(await storage.updateSession(session.sessionId, { tags: ['kept'] })).toMatchObject({ pending: true })
  storage.simulateOutage(false)
  await stateIs(storage, 'healthy')
  expect(await storage.getSession(session.sessionId)).toMatchObject({ title: 'changed', tags: ['kept'] })

  const calm = owned(await openStorage({ backend: 'memory' }))
  expect(() => calm.simulateOutage(true)).toThrow(UnsupportedError)
})

it('loses no answer and does nothing twice in a storm of lost answers', async () => {
  const server = await ownServer()
  const prefix = uniquePrefix()
  const adapter = new RedisAdapter(server.url, { prefix })
  const storage = owned(new ResilientStorage(adapter, { chaos: { losePercentage: 10, failPercentage: 5 } }))
  const session = await storage.createSession('ann', {})
  for (let n = 0; n < 300; n++) {
    await storage.appendEvent(session.sessionId, { type: 'custom:n', data: { n } })
  }
  await stateIs(storage, 'healthy')
  const other = owned(new RedisAdapter(server.url, { prefix }))
  const { items } = await other.events({ sessionId: session.sessionId, types: ['custom:n'], limit: 1000 })
  const numbers = items.map(({ data }) => data.n).join()
  expect(numbers).toBe(Array.from({ length: 300 }, (_, n) => n).join())
  const client = rawClient(server.url)
  const [key = ''] = await client.keys(`${prefix}*:t:*`)
  expect(await client.hget(key, '#')).toBe('301')
  client.disconnect()
})

it('refuses what it can not be', async () => {
  const odd = [
    { resilience: { onUnavailable: 'pray' } },
    { resilience: { retry: { attempts: 0 } } },
    { resilience: { breaker: { percentage: 101 } } },
    { resilience: { journal: { maxEntries: -1 } } },
    { resilience: { unknown: 1 } },
    { resilience: 1 },
  ] as object[]
  for (const options of odd) {
    const error = await rejection(openStorage({ backend: 'redis', url: 'redis://h', ...options }))
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as Error).message).toContain('resilience')
  }
})

it("tells its trouble to Fastify's logger, which is a pino, without the password of its URL", async () => {
  const server = await OwnServer.start({ password: 'se-cret' })
  servers.push(server)
  const lines: { level: number; msg: string }[] = []
  const stream = { write: (line: string) => lines.push(JSON.parse(line) as { level: number; msg: string }) }
  const { log } = Fastify({ logger: { stream } })
  const at = { backend: 'redis', url: server.url, prefix: uniquePrefix() } as const
  const storage = owned(await openStorage({ ...at, logger: log }))
  const { sessionId } = await storage.createSession('ann', {})
  await lose(storage, server, sessionId)
  await until(() => lines.length > 0, 'it is told')
  expect(lines[0]).toMatchObject({ level: 40, msg: expect.stringContaining('degraded') })
  expect(JSON.stringify(lines)).not.toContain('se-cret')
})
