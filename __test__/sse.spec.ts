// Server-sent events over a feed, as an HTTP server and its clients meet them.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lastEventId, SSE_HEADERS, toResponse, toStream } from '../dist/sse.js'
import { type Event, MemoryStorage } from './support/flowkeep.js'
import { until } from './support/until.js'

interface Message {
  id?: string
  event?: string
  data?: unknown
}

/** Reads messages of a stream until there are `count`, or until it ends. */
async function read(body: ReadableStream<Uint8Array> | null, count: number): Promise<Message[]> {
  const messages: Message[] = []
  let text = ''
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString()
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = block.split('\n').map((line) => /^(\w*): ?(.*)$/.exec(line) ?? [])
      const field = (name: string) => fields.find((one) => one[1] === name)?.[2]
      const [id, event, data] = [field('id'), field('event'), field('data')]
      if (data === undefined) continue
      messages.push({ ...(id && { id }), ...(event && { event }), data: JSON.parse(data) })
    }
    if (messages.length >= count) break
  }
  return messages
}

const storage = new MemoryStorage()
afterAll(() => storage.close())
const pending = async () => (await storage.status()).pending

async function session(notes = 0) {
  const { sessionId, userId } = await storage.createSession(`user-${Math.random()}`, {})
  for (let n = 0; n < notes; n++) await storage.appendEvent(sessionId, { type: 'custom:n', data: { n } })
  return { sessionId, userId }
}

describe('toResponse', () => {
  it('sends a feed with ids by which it is resumed', async () => {
    const { userId } = await session(4)
    const response = toResponse(storage.subscribe({ userId }))
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject(SSE_HEADERS)
    const messages = await read(response.body, 5)
    const { items } = await storage.events({ userId })
    expect(messages.map(({ event, data }) => [event, data])).toEqual(
      items.map((item) => [item.type, JSON.parse(JSON.stringify(item))]),
    )
    for (const [at, { id }] of messages.entries()) {
      if (at === 4) break
      const rest = await read(toResponse(storage.subscribe({ userId, after: id ?? '' })).body, 4 - at)
      expect(rest).toEqual(messages.slice(at + 1))
    }
  })

  it('begins with the pause before a client connects again, and gives signs of life', async () => {
    const { userId } = await session()
    const options = { heartbeatSeconds: 0.01, retryMs: 250, headers: { 'x-own': '1' } }
    const response = toResponse(storage.subscribe({ userId, after: 'now' }), options)
    expect(response.headers.get('x-own')).toBe('1')
    let text = ''
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString()
      if (text.includes(':\n\n:\n\n')) break
    }
    expect(text.startsWith('retry: 250\n\n')).toBe(true)
    await until(async () => (await pending()) === 0, 'the feed is free')
  })

  it('ends with its feed, and says so', async () => {
    const { sessionId } = await session()
    const body = toResponse(storage.subscribe({ sessionId })).body
    await storage.deleteSession(sessionId)
    const messages = await read(body, 99)
    expect(messages.map(({ event }) => event)).toEqual(['session:created', 'session:deleted', 'end'])
  })

  it('tells why a feed fails', async () => {
    const body = toResponse(storage.subscribe({ sessionId: 'nobody' })).body
    expect(await read(body, 99)).toMatchObject([{ event: 'failure', data: { code: 'STORAGE_INVALID' } }])
  })

  it('sends what the caller makes of an item, and leaves out what is nothing', async () => {
    const { userId } = await session(3)
    const message = (item: { type: string }, id: string | undefined) =>
      item.type === 'custom:n' ? { id, data: (item as Event).data } : undefined
    const body = toResponse(storage.subscribe({ userId }), { message }).body
    const messages = await read(body, 3)
    expect(messages.map(({ event, data }) => [event, data])).toEqual([0, 1, 2].map((n) => [undefined, { n }]))
  })

  it('takes no more than the client reads', async () => {
    let taken = 0
    const endless = {
      async *[Symbol.asyncIterator]() {
        for (;;) yield { type: 'x', n: taken++ }
      },
    }
    const reader = toResponse(endless).body?.getReader()
    for (let n = 0; n < 5; n++) await reader?.read()
    await new Promise((resolve) => setImmediate(resolve))
    expect(taken).toBeLessThanOrEqual(7)
    await reader?.cancel()
  })
})

describe('behind an HTTP server', () => {
  let server: Server
  let url: string
  beforeAll(async () => {
    server = createServer((request, response) => {
      const after = lastEventId(request) ?? 'now'
      const userId = new URL(request.url ?? '', 'http://x').searchParams.get('user') ?? ''
      response.writeHead(200, SSE_HEADERS)
      const stream = toStream(storage.subscribe({ userId, after }))
      const body = Readable.fromWeb(stream as Parameters<typeof Readable.fromWeb>[0])
      response.once('close', () => body.destroy())
      body.pipe(response)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })

  it('a client that drops its connection again and again misses nothing and sees nothing twice', async () => {
    const { sessionId, userId } = await session()
    const total = 60
    let last = (await storage.events({ userId })).cursor
    const writing = (async () => {
      for (let n = 0; n < total; n++) {
        await storage.appendEvent(sessionId, { type: 'custom:n', data: { n } })
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const seen: unknown[] = []
    while (seen.length < total) {
      const stop = new AbortController()
      const headers = { 'last-event-id': last }
      const response = await fetch(`${url}?user=${encodeURIComponent(userId)}`, {
        headers,
        signal: stop.signal,
      })
      const count = Math.min(1 + (seen.length % 7), total - seen.length)
      for (const { id, data } of await read(response.body, count)) {
        seen.push((data as Event).data.n)
        last = id ?? last
      }
      stop.abort()
    }
    await writing
    expect(seen).toEqual(Array.from({ length: total }, (_, n) => n))
    await until(async () => (await pending()) === 0, 'every feed is free')
  })
})

it('lastEventId reads both kinds of headers', () => {
  expect(lastEventId({ headers: new Headers({ 'Last-Event-ID': 'f1-0' }) })).toBe('f1-0')
  expect(lastEventId({ headers: { 'last-event-id': 'f1-0' } })).toBe('f1-0')
  for (const headers of [{}, { 'last-event-id': '' }, new Headers()]) {
    expect(lastEventId({ headers })).toBeUndefined()
  }
})
