import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { existing, Fixture, newUser } from './behavior/fixture.js'
import {
  type IStorage,
  openStorage,
  RedisAdapter,
  StorageError,
  type StorageOptions,
  TimeoutError,
  UnavailableError,
} from './support/flowkeep.js'
import { everyMethod, type Ids, plainMethods } from './support/methods.js'
import { rawClient, uniquePrefix } from './support/redis.js'
import { refusal, rejection } from './support/refusal.js'
import { freePort, OwnServer, ScriptedServer } from './support/server.js'
import { until } from './support/until.js'

const open: { close(): Promise<void> }[] = []
const servers: { dispose(): Promise<void> }[] = []

/** A storage that the test need not close. */
function adapter(url: string, options: StorageOptions = {}): IStorage {
  const storage = new RedisAdapter(url, { prefix: uniquePrefix(), ...options })
  open.push(storage)
  return storage
}

function owned<T extends { dispose(): Promise<void> }>(server: T): T {
  servers.push(server)
  return server
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((storage) => storage.close()))
  await Promise.all(servers.splice(0).map((server) => server.dispose()))
})

/** Ids of records that no server has. */
async function someIds(): Promise<Ids> {
  const storage = await openStorage({ backend: 'memory' })
  const step = await new Fixture(storage).step()
  await storage.close()
  return { userId: newUser(), sessionId: step.sessionId, chainId: step.chainId, stepId: step.stepId }
}

const away = ['STORAGE_UNAVAILABLE', 'STORAGE_TIMEOUT']

/** Every method has to fail in a typed way: an outage never looks like an absent record. */
async function expectAway(storage: IStorage): Promise<void> {
  const ids = await someIds()
  const methods = [...everyMethod, ...plainMethods]
  const failing = methods.map(({ call }) => rejection(call(storage, ids, { timeoutMs: 400 })))
  const errors = await Promise.all(failing)
  for (const [i, { name }] of methods.entries()) {
    expect(errors[i]).toBeInstanceOf(StorageError)
    expect(away).toContain((errors[i] as StorageError).code)
    expect(errors[i]).toMatchObject({ operation: name, retryable: true })
  }
}

/** How many commands a client sent in one piece. */
const commandsIn = (data: Buffer) => data.toString('latin1').match(/\*\d+\r\n\$/g)?.length ?? 0

describe('a server that cannot answer', () => {
  it('is away when nobody listens', async () => {
    const storage = adapter(`redis://127.0.0.1:${await freePort()}`)
    await expectAway(storage)
    const error = await refusal(
      storage.getSession((await someIds()).sessionId),
      UnavailableError,
      'STORAGE_UNAVAILABLE',
    )
    expect(error).toMatchObject({ outcome: 'not-applied', retryAfterMs: expect.any(Number) })
    expect((await storage.status()).state).not.toBe('healthy')
  })

  it('is away when its name is unknown', async () => {
    await expectAway(adapter('redis://no-such-host.invalid:6379'))
  })

  it.each([
    ['errors', '-ERR out of order\r\n'],
    ['that it is loading', '-LOADING Redis is loading the dataset in memory\r\n'],
    ['that its cluster is down', '-CLUSTERDOWN The cluster is down\r\n'],
    ['that its master is down', '-MASTERDOWN Link with MASTER is down\r\n'],
  ])('is away when it answers %s', async (_, reply) => {
    const server = owned(
      await ScriptedServer.start((socket, data) => socket.write(reply.repeat(commandsIn(data)))),
    )
    await expectAway(adapter(server.url))
  })

  it.each([
    ['something that is not its protocol', 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'],
    ['a length that cannot be', '$99999999999999999999\r\nx\r\n'],
    ['lists in lists without end', '*1\r\n'.repeat(5000)],
    ['zeros', '\0'.repeat(1000)],
  ])('is away when it answers %s', async (_, reply) => {
    const server = owned(await ScriptedServer.start((socket) => socket.write(reply)))
    await expectAway(adapter(server.url))
  })

  it('is away when it hangs up on every word', async () => {
    const server = owned(await ScriptedServer.start((socket) => socket.destroy()))
    await expectAway(adapter(server.url))
  })

  it('is away when it is silent', async () => {
    const server = owned(await ScriptedServer.start(() => undefined))
    await expectAway(adapter(server.url))
  })

  it('never keeps close() from ending', async () => {
    const silent = owned(await ScriptedServer.start(() => undefined))
    for (const url of [silent.url, `redis://127.0.0.1:${await freePort()}`]) {
      const storage = new RedisAdapter(url)
      const call = rejection(storage.listSessions('ann'))
      await storage.close()
      expect(await call).toBeInstanceOf(StorageError)
    }
  })
})

describe('a password', () => {
  const secret = 'p%40ss:w/rd#1'

  /** Everything that an error shows, its causes included. */
  const shown = (error: unknown) => `${String(error)} ${inspect(error, { depth: 10, showHidden: true })}`

  it('that is right is taken, percent-encoded', async () => {
    const server = owned(await OwnServer.start({ password: secret }))
    const storage = adapter(server.url)
    expect(await storage.listSessions('ann')).toEqual([])
  })

  it.each([
    ['wrong', 'other-p@ssword'],
    ['missing', undefined],
  ])('that is %s is an error in time, and is never shown', async (_, given) => {
    const server = owned(await OwnServer.start({ password: secret }))
    const storage = adapter(server.urlWith(given))
    const error = await rejection(storage.listSessions('ann', { timeoutMs: 3000 }))
    expect(error).toBeInstanceOf(StorageError)
    expect(shown(error)).not.toContain(secret)
    if (given !== undefined) {
      expect(shown(error)).not.toContain(given)
      expect(shown(error)).not.toContain(encodeURIComponent(given))
      expect(JSON.stringify(await storage.status())).not.toContain(given)
    }
  })

  it('is not shown by an error of the connection or of the URL', async () => {
    const url = `redis://user:hidden-word@127.0.0.1:${await freePort()}`
    expect(shown(await rejection(adapter(url).listSessions('ann')))).not.toContain('hidden-word')
    for (const bad of [
      'redis://user:hidden-word@host/name',
      'redis://user:hidden-word@host:port',
      'http://user:hidden-word@host',
      ' redis//user:hidden-word@host',
    ]) {
      const error = await rejection(openStorage({ backend: 'redis', url: bad }))
      expect(error).toBeInstanceOf(StorageError)
      expect(shown(error)).not.toContain('hidden-word')
    }
  })
})

describe('a server that goes away', () => {
  let server: OwnServer
  let storage: IStorage
  let fixture: Fixture

  beforeEach(async () => {
    server = owned(await OwnServer.start())
    storage = adapter(server.url, { timeoutMs: 1000 })
    fixture = new Fixture(storage)
  })

  const works = () =>
    until(
      () =>
        storage.listSessions('ann').then(
          () => true,
          () => false,
        ),
      'the storage works again',
      20_000,
    )

  it('settles every call that was on its way, and loses nothing that was answered', {
    timeout: 60_000,
  }, async () => {
    const { sessionId, userId } = await fixture.session()
    const calls: Promise<{ eventId: string }>[] = []
    const append = () =>
      calls.push(storage.appendEvent(sessionId, { type: 'custom:race', data: { n: calls.length } }))
    for (let n = 0; n < 200; n++) append()
    await calls[0]
    for (let n = 0; n < 200; n++) append()
    const killed = server.kill()
    for (let n = 0; n < 100; n++) append()
    const results = await Promise.allSettled(calls)
    await killed
    const answered: string[] = []
    for (const result of results) {
      if (result.status === 'fulfilled') answered.push(result.value.eventId)
      else expect(away).toContain((result.reason as StorageError).code)
    }
    expect(answered.length).toBeGreaterThan(0)
    expect(answered.length).toBeLessThan(500)
    await expect(storage.getSession(sessionId)).rejects.toBeInstanceOf(StorageError)
    await server.start()
    await works()
    const log = new Set((await fixture.eventsOf({ userId })).map((event) => event.eventId as string))
    expect(answered.filter((id) => !log.has(id))).toEqual([])
  })

  it('is found again after a restart, by every method', { timeout: 60_000 }, async () => {
    const step = await fixture.step()
    const { userId } = existing(await storage.getSession(step.sessionId))
    for (let round = 0; round < 2; round++) {
      await server.kill()
      await expectAway(storage)
      await server.start()
      await works()
      expect((await storage.status()).state).toBe('healthy')
    }
    for (const { call } of [...everyMethod, ...plainMethods]) await call(storage, { ...step, userId })
  })

  it('is found again when only the connections break', async () => {
    const client = rawClient(server.url)
    const session = await fixture.session()
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    client.disconnect()
    await until(
      () =>
        storage.getSession(session.sessionId).then(
          (found) => found !== null,
          () => false,
        ),
      'it reconnects',
    )
    expect(await storage.updateSession(session.sessionId, { title: 'after' })).toMatchObject({
      title: 'after',
    })
  })

  it('that stands still makes timeouts, with an outcome that is unknown for a write', async () => {
    const session = await fixture.session()
    server.freeze()
    const write = storage.updateSession(session.sessionId, { title: 'perhaps' }, { timeoutMs: 200 })
    const error = await refusal(write, TimeoutError, 'STORAGE_TIMEOUT')
    expect(error).toMatchObject({ outcome: 'unknown', operation: 'updateSession', retryable: true })
    await refusal(storage.getSession(session.sessionId, { timeoutMs: 200 }), TimeoutError, 'STORAGE_TIMEOUT')
    server.thaw()
    await works()
    expect(['perhaps', undefined]).toContain(existing(await storage.getSession(session.sessionId)).title)
  })

  it('that stands still leaves a call to its own signal and deadline', async () => {
    const { sessionId } = await fixture.session()
    server.freeze()
    const controller = new AbortController()
    const reason = new Error('the user went away')
    const aborted = rejection(storage.getSession(sessionId, { signal: controller.signal, timeoutMs: 60_000 }))
    const patient = storage.getSession(sessionId, { timeoutMs: 60_000 })
    controller.abort(reason)
    const error = await aborted
    expect([error, (error as Error).cause]).toContain(reason)
    server.thaw()
    expect(await patient).toMatchObject({ sessionId })
  })

  it('that is full refuses writes and serves reads', async () => {
    const client = rawClient(server.url)
    const session = await fixture.session()
    await client.config('SET', 'maxmemory', '1')
    const refused = await rejection(storage.createChain(session.sessionId, { title: 'too much' }))
    expect(refused).toBeInstanceOf(StorageError)
    expect(refused).toMatchObject({ outcome: 'not-applied' })
    expect(await storage.getSession(session.sessionId)).toMatchObject({ sessionId: session.sessionId })
    expect(await storage.listSessions(session.userId)).toHaveLength(1)
    await client.config('SET', 'maxmemory', '0')
    client.disconnect()
    expect(await storage.listChains(session.sessionId)).toEqual([])
    expect(await storage.createChain(session.sessionId, { title: 'fits' })).toMatchObject({ version: 1 })
  })
})
