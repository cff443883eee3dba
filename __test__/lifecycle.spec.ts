// How a process that uses the storage ends, and that a bug in the native part does not end it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ClosedError, openStorage, RedisAdapter, StorageError } from './support/flowkeep.js'
import { rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'
import { refusal } from './support/refusal.js'
import { freePort, ScriptedServer } from './support/server.js'

const dist = JSON.stringify(join(import.meta.dirname, '../dist/index.js'))
const prefix = uniquePrefix()

/** Within this long after its last statement a process must have ended by itself. */
const END_MS = 1000

afterAll(async () => {
  const client = rawClient(redisUrl())
  await sweep(client, prefix)
  client.disconnect()
})

/** Runs a body as a program of its own; how it ended, and how long after its last statement. */
async function program(body: string) {
  const code = `
    const { MemoryStorage, RedisAdapter, openStorage } = require(${dist})
    const main = async () => { ${body} }
    main().then(() => console.log('done ' + Date.now()), (error) => { console.log(error); process.exitCode = 1 })`
  const child = spawn(process.execPath, ['-e', code])
  let text = ''
  child.stdout.on('data', (more) => (text += more))
  child.stderr.on('data', (more) => (text += more))
  const patience = setTimeout(() => child.kill('SIGKILL'), 10_000)
  const [exitCode, signal] = await once(child, 'exit')
  const ended = Date.now()
  clearTimeout(patience)
  return { text, exitCode, signal, lateMs: ended - Number(/done (\d+)/.exec(text)?.[1]) }
}

async function endsByItself(body: string): Promise<void> {
  let late = ''
  // A busy machine may hold one of them up, but not each.
  for (let attempt = 0; attempt < 3; attempt++) {
    const { text, exitCode, signal, lateMs } = await program(body)
    expect({ exitCode, signal }, text).toEqual({ exitCode: 0, signal: null })
    if (lateMs < END_MS) return
    late = `${lateMs} ms: ${text}`
  }
  expect.fail(`it ended too late each time, at last by ${late}`)
}

const kinds = [
  ['memory', 'new MemoryStorage()'],
  ['redis', `new RedisAdapter('${redisUrl()}', { prefix: '${prefix}' })`],
  ['openStorage on memory', `await openStorage({ backend: 'memory' })`],
  [
    'openStorage on redis',
    `await openStorage({ backend: 'redis', url: '${redisUrl()}', prefix: '${prefix}' })`,
  ],
] as const

describe.each(kinds)('a process on %s ends by itself', (_name, storage) => {
  const use = `const storage = ${storage}
    const { sessionId } = await storage.createSession('demo', {})
    await Promise.all(Array.from({ length: 20 }, () => storage.createChain(sessionId, { title: 'a' })))`

  it('after close()', () => endsByItself(`${use}; await storage.close()`))
  it('without close(), when nothing is pending', () => endsByItself(use))
  it('opened and never used', () => endsByItself(`const storage = ${storage}`))
  it('not before a pending call is answered', async () => {
    const { text, exitCode } = await program(`const storage = ${storage}
      storage.createSession('demo', {}).then((session) => console.log('created ' + session.userId))`)
    expect(exitCode).toBe(0)
    expect(text).toContain('created demo')
  })
})

describe('close() with a call under way ends the call and the process', () => {
  const closes = (port: number) =>
    endsByItself(`
      const storage = new RedisAdapter('redis://127.0.0.1:${port}', { timeoutMs: 60_000 })
      const call = storage.createSession('demo', {}).then(() => 'answered', (error) => error.code)
      await new Promise((resolve) => setTimeout(resolve, 50))
      const from = Date.now()
      await storage.close()
      const code = await call
      if (Date.now() - from > ${END_MS}) throw new Error('close() took ' + (Date.now() - from) + ' ms')
      if (code !== 'STORAGE_CLOSED' && code !== 'STORAGE_UNAVAILABLE') throw new Error(code)`)

  it('when nobody listens', async () => closes(await freePort()))

  it('when the server never answers', async () => {
    const silent = await ScriptedServer.start(() => {})
    try {
      await closes(Number(new URL(silent.url).port))
    } finally {
      await silent.dispose()
    }
  })
})

describe.each(['memory', 'redis'] as const)('on %s', (backend) => {
  const open = () => openStorage({ backend, url: redisUrl(), prefix })

  it('await using closes at the end of the block', async () => {
    let outer: Awaited<ReturnType<typeof open>>
    {
      await using storage = await open()
      outer = storage
      await storage.createSession('demo', {})
    }
    expect((await outer.status()).state).toBe('closed')
    await refusal(outer.createSession('demo', {}), ClosedError, 'STORAGE_CLOSED')
    await outer.close()
  })

  // Builds for tests take these ids as a request to panic: in the call, or behind an answer of the backend.
  it.each(['test-panic', 'test-panic-later'])(
    '%s is an error, and process and storage live on',
    async (id) => {
      await using storage = await open()
      const { sessionId } = await storage.createSession('demo', {})
      for (let i = 0; i < 3; i++) await refusal(storage.getSession(id), StorageError, 'STORAGE_INTERNAL')
      const [broken, whole] = await Promise.allSettled([
        storage.getSession(id),
        storage.getSession(sessionId),
      ])
      expect(broken.status).toBe('rejected')
      expect(whole).toMatchObject({ status: 'fulfilled', value: { sessionId } })
      expect((await storage.status()).pending).toBe(0)
    },
  )
})

it('a storage that was never used closes', async () => {
  const storage = new RedisAdapter(`redis://127.0.0.1:${await freePort()}`)
  await storage.close()
  await storage.close()
})

describe.each(kinds)('a subscription on %s that waits', (_name, storage) => {
  const follow = (keepAlive: boolean) => `const storage = ${storage}
    const { userId } = await storage.createSession('demo', {})
    const feed = storage.subscribe({ userId, after: 'now', keepAlive: ${keepAlive} })
    feed.next().then(() => console.log('told'))
    await feed.ready()`

  it('lets the process end when asked to', () => endsByItself(follow(false)))

  it('keeps it alive otherwise', async () => {
    const { text, signal } = await program(`${follow(true)}
      setTimeout(() => process.kill(process.pid, 'SIGTERM'), 1500).unref()`)
    expect({ text: text.includes('done'), signal }).toEqual({ text: true, signal: 'SIGTERM' })
  })
})
