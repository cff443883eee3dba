// The recorders of requests, each in front of a real application that is asked over HTTP.
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { type History, MemoryStorage } from 'flowkeep'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { recordRequests as recordExpress } from '../examples/request-history/express.mjs'
import { recordRequests as recordFastify } from '../examples/request-history/fastify.mjs'
import { Recorder } from '../examples/request-history/recorder.mjs'
import { until } from './support/until.js'

interface Running {
  url: string
  stop(): Promise<unknown>
}

const storage = new MemoryStorage()
/** Requests that reached the handler that never answers. */
let reached = 0
const never = () => {
  reached++
}
afterAll(() => storage.close())

/** The same application twice: it logs in, fails, sends no text, and never answers. */
const servers: Record<string, (recorder: Recorder) => Promise<Running>> = {
  async fastify(recorder) {
    const app = Fastify({ forceCloseConnections: true })
    await app.register(recordFastify, { recorder })
    app.post('/login', async (_request, reply) => {
      reply.header('set-cookie', ['sid=abcdefgh', 'theme=dark'])
      return { token: 'secret-token', user: { name: 'ada' } }
    })
    app.get('/fails', async (_request, reply) => reply.code(503).send({ error: 'away' }))
    app.get('/bytes', async (_request, reply) => reply.type('image/png').send(Buffer.of(0xff, 0, 1)))
    app.get('/text', async (_request, reply) => reply.type('text/plain').send('hello'))
    app.get('/never', () => new Promise(never))
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    return { url, stop: () => app.close() }
  },
  async express(recorder) {
    // Its types are no part of it.
    const express = createRequire(import.meta.url)('express')
    const app = express()
    app.use(recordExpress(recorder))
    app.use(express.json())
    app.post('/login', (_request: unknown, response: never) => {
      const answer = response as { cookie(name: string, value: string): void; json(body: object): void }
      answer.cookie('sid', 'abcdefgh')
      answer.json({ token: 'secret-token', user: { name: 'ada' } })
    })
    type Answer = { status(code: number): Answer; type(name: string): Answer; send(body: unknown): void }
    app.get('/fails', (_request: unknown, response: Answer) => response.status(503).send({ error: 'away' }))
    app.get('/bytes', (_request: unknown, response: Answer) =>
      response.type('image/png').send(Buffer.of(0xff, 0, 1)),
    )
    app.get('/text', (_request: unknown, response: Answer) => response.type('text/plain').send('hello'))
    app.get('/never', never)
    const server: Server = createServer(app)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      stop: () => {
        server.closeAllConnections()
        return new Promise((resolve) => server.close(resolve))
      },
    }
  },
}

describe.each(Object.entries(servers))('a recorder for %s', (name, start) => {
  let running: Running
  let history: History
  let recorder: Recorder
  const failures: unknown[] = []

  beforeAll(async () => {
    history = storage
      .service(name)
      .history({ maskHeaders: ['x-*-token'], maskPaths: ['$..password', '$..token'] })
    recorder = new Recorder(history, (error) => failures.push(error))
    running = await start(recorder)
  })
  afterAll(() => running?.stop())

  const latest = async (method: string, url: string) =>
    until(async () => {
      await recorder.settled()
      const entry = await history.get({ method, url })
      return entry?.response ? entry : null
    }, `${method} ${url} is recorded`)

  it('keeps the request and the response, with their secrets masked', async () => {
    const answer = await fetch(`${running.url}/login?next=1`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: 'Bearer abcdefghijkl',
        'x-csrf-token': 'csrf-1234',
      },
      body: JSON.stringify({ user: 'ada', password: 'hunter22' }),
    })
    expect(await answer.json()).toEqual({ token: 'secret-token', user: { name: 'ada' } })
    const entry = await latest('POST', '/login?next=1')
    expect(entry.request).toMatchObject({
      method: 'POST',
      headers: { authorization: '****ijkl', 'x-csrf-token': '****1234', 'content-type': 'application/json' },
      body: { user: 'ada', password: '****er22' },
    })
    expect(entry.response).toMatchObject({ status: 200, body: { token: '****oken', user: { name: 'ada' } } })
    const stored = JSON.stringify(await history.data())
    for (const secret of ['hunter22', 'abcdefghijkl', 'secret-token', 'csrf-1234', 'abcdefgh']) {
      expect(stored).not.toContain(secret)
    }
  })

  it('keeps failures and text, and of bytes that they were there', async () => {
    for (const path of ['/fails', '/bytes', '/text', '/nowhere']) await fetch(`${running.url}${path}`)
    expect((await latest('GET', '/fails')).response).toMatchObject({ status: 503, body: { error: 'away' } })
    expect((await latest('GET', '/bytes')).response).toMatchObject({ body: '[not kept: no text]' })
    expect((await latest('GET', '/text')).response).toMatchObject({ status: 200, body: 'hello' })
    expect((await latest('GET', '/nowhere')).response).toMatchObject({ status: 404 })
    expect(failures).toEqual([])
  })

  it('keeps what was never answered', async () => {
    const [controller, before] = [new AbortController(), reached]
    const asked = fetch(`${running.url}/never`, { signal: controller.signal }).catch(() => null)
    await until(() => reached > before, 'it has reached its handler')
    if (name === 'fastify') {
      await until(() => history.get({ method: 'GET', url: '/never' }), 'it is recorded before it is answered')
    }
    controller.abort()
    await asked
    const entry = await until(() => history.get({ method: 'GET', url: '/never' }), 'it is recorded')
    expect(entry.url).toBe('/never')
  })
})

it('a history that can not be written fails no request', async () => {
  const away = new MemoryStorage()
  const failures: unknown[] = []
  const recorder = new Recorder(away.service('s').history(), (error) => failures.push(error))
  await away.close()
  const running = await (servers.fastify as (recorder: Recorder) => Promise<Running>)(recorder)
  expect(await (await fetch(`${running.url}/text`)).text()).toBe('hello')
  await until(() => failures.length > 0, 'it is told')
  await running.stop()
})
