// The dashboard's backend on memory as its clients meet it: a process, its routes, its feed, its recordings.
import { type IStorage, StorageError } from 'flowkeep'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { buildApp } from '../examples/dashboard-backend/app.mjs'
import {
  Backend,
  type Chain,
  type Failure,
  type List,
  listen,
  type Message,
  type Session,
  type Step,
} from './dashboard/backend.js'

describe('the backend on memory', () => {
  let backend: Backend
  beforeAll(async () => {
    backend = await Backend.start()
  })
  afterAll(async () => {
    await backend?.stop()
  })

  it('prints exactly one line, with the link', async () => {
    await backend.recorded()
    expect(backend.lines).toEqual([`flowkeep dashboard: ${backend.url}/ (storage: memory)`])
  })

  it('has recorded commands that really ran', async () => {
    const { steps } = await backend.recorded()
    const node = steps.find((step) => step.action === 'node --version')
    expect(node).toMatchObject({
      status: 'completed',
      attempt: 1,
      result: { exitCode: 0, output: expect.stringMatching(/^v\d+\./) },
    })
    const metadata = steps.find((step) => step.action.startsWith('cargo metadata'))
    expect(metadata?.result?.output).toContain('flowkeep')
  })

  it('shows a failure and its retry truthfully', async () => {
    const { steps } = await backend.recorded()
    const lookup = steps.find((step) => step.action.startsWith('look up'))
    expect(lookup).toMatchObject({ status: 'completed', attempt: 2, result: { exitCode: 0 } })
    expect(lookup).not.toHaveProperty('error')
    expect(lookup?.result?.earlier).toMatchObject([
      { exitCode: 1, output: expect.stringContaining('there was no index') },
    ])
  })

  it('creates, reads, changes and deletes', async () => {
    const created = await backend.call<Session>('POST', '/api/users/ann/sessions', { title: 'One' })
    expect(created.status).toBe(201)
    const path = created.headers.get('location') ?? ''
    expect(path).toBe(`/api/sessions/${created.body.sessionId}`)
    expect(await backend.get(path)).toEqual(created.body)
    expect(await backend.patch(path, { title: 'Two' })).toMatchObject({ title: 'Two', version: 2 })

    const chain = await backend.post<Chain>(`${path}/chains`, { title: 'C' })
    const step = await backend.post<Step>(`/api/chains/${chain.chainId}/steps`, { action: 'a' })
    expect(await backend.get(`/api/chains/${chain.chainId}/steps`)).toEqual({ items: [step] })
    await backend.patch(`/api/steps/${step.stepId}`, { status: 'in_progress' })
    await backend.patch(`/api/steps/${step.stepId}`, { status: 'completed', result: [1, null] })
    expect(await backend.get(`/api/chains/${chain.chainId}`)).toMatchObject({ status: 'completed' })

    for (let time = 0; time < 2; time += 1) expect((await backend.call('DELETE', path)).status).toBe(204)
    expect((await backend.call('GET', path)).status).toBe(404)
    expect((await backend.call('GET', `/api/steps/${step.stepId}`)).status).toBe(404)
  })

  it('pages through the event log', async () => {
    const { sessionId } = await backend.post<Session>('/api/users/bob/sessions', {})
    for (const title of ['A', 'B', 'C']) await backend.patch(`/api/sessions/${sessionId}`, { title })
    const seen: string[] = []
    let cursor = ''
    for (;;) {
      const page = await backend.get<{ items: { type: string }[]; cursor: string }>(
        `/api/sessions/${sessionId}/events?limit=3${cursor}`,
      )
      if (page.items.length === 0) break
      seen.push(...page.items.map((event) => event.type))
      cursor = `&cursor=${encodeURIComponent(page.cursor)}`
    }
    expect(seen).toEqual(['session:created', 'session:updated', 'session:updated', 'session:updated'])
    const only = await backend.get<List<{ type: string }>>(`/api/users/bob/events?types=session:created`)
    expect(only.items).toHaveLength(1)
  })

  it('makes a repeated POST harmless and refuses a stale PATCH', async () => {
    const send = () =>
      backend.call<Session>('POST', '/api/users/cy/sessions', { title: 'Once' }, { 'idempotency-key': 'k1' })
    const [first, second] = [await send(), await send()]
    expect(second.body.sessionId).toBe(first.body.sessionId)
    const path = `/api/sessions/${first.body.sessionId}`
    const { headers } = await backend.call('PATCH', path, { title: 'Newer' }, { 'if-match': '"1"' })
    expect(headers.get('etag')).toBe('"2"')
    const stale = await backend.call<Failure>('PATCH', path, { title: 'Stale' }, { 'if-match': '"1"' })
    expect(stale).toMatchObject({
      status: 409,
      body: { error: { code: 'STORAGE_CONFLICT', current: { title: 'Newer', version: 2 } } },
    })
  })

  describe('errors', () => {
    let session: Session
    beforeEach(async () => {
      session = await backend.post('/api/users/eve/sessions', {})
    })

    it.each<[string, string, string, unknown, number, string]>([
      ['an invalid value', 'POST', '/api/users/eve/sessions', { title: 7 }, 400, 'STORAGE_INVALID'],
      ['an unknown field', 'POST', '/api/users/eve/sessions', { colour: 'red' }, 400, 'STORAGE_INVALID'],
      ['an invalid limit', 'GET', '/api/users/eve/sessions?limit=many', undefined, 400, 'STORAGE_INVALID'],
      ['an invalid date', 'GET', '/api/users/eve/events?after=yesterday', undefined, 400, 'STORAGE_INVALID'],
      ['an invalid cursor', 'GET', '/api/users/eve/events?cursor=%00%ff', undefined, 400, ''],
      ['a body that is a list', 'POST', '/api/users/eve/sessions', [], 400, 'STORAGE_INVALID'],
      ['a body that is no JSON', 'POST', '/api/users/eve/sessions', '{"title":', 400, ''],
      ['a poisoned body', 'POST', '/api/users/eve/sessions', '{"__proto__":{"x":1}}', 400, ''],
      ['a missing session', 'GET', '/api/sessions/MISSING', undefined, 404, 'STORAGE_NOT_FOUND'],
      ['a missing parent', 'GET', '/api/sessions/MISSING/chains', undefined, 404, 'STORAGE_NOT_FOUND'],
      [
        'a change of a missing one',
        'PATCH',
        '/api/sessions/MISSING',
        { title: 'x' },
        404,
        'STORAGE_NOT_FOUND',
      ],
      ['an unknown address', 'GET', '/api/nothing', undefined, 404, 'NO_SUCH_ROUTE'],
    ])('%s', async (_name, method, path, body, status, code) => {
      // A missing id is one that was there: its form is right, whatever that form is.
      await backend.call('DELETE', `/api/sessions/${session.sessionId}`)
      const answer = await backend.call<Failure>(method, path.replace('MISSING', session.sessionId), body)
      expect(answer.status).toBe(status)
      expect(answer.body.error.message).not.toBe('')
      if (code !== '') expect(answer.body.error.code).toBe(code)
      if (code === 'STORAGE_INVALID') expect(answer.body.error.issues?.length).toBeGreaterThan(0)
    })

    it('a forbidden transition is a conflict', async () => {
      const path = `/api/sessions/${session.sessionId}`
      await backend.patch(path, { state: 'completed' })
      const answer = await backend.call('PATCH', path, { state: 'active' })
      expect(answer).toMatchObject({
        status: 409,
        body: { error: { code: 'STORAGE_TRANSITION', from: 'completed', to: 'active' } },
      })
    })

    it('a foreign page can neither record nor reach the backend under another name', async () => {
      const foreign = await backend.call<Failure>('POST', '/api/record', undefined, {
        origin: 'http://evil.example',
      })
      expect(foreign).toMatchObject({ status: 403, body: { error: { code: 'FOREIGN_ORIGIN' } } })
    })
  })

  describe('the feed', () => {
    const feed = () => `${backend.url}/api/users/fay/feed`

    it('brings what happens and resumes where it stopped', async () => {
      const reading = listen(feed(), (all) => all.some((one) => one.event === 'changes'))
      await backend.listeners(1)
      const { sessionId } = await backend.post<Session>('/api/users/fay/sessions', { title: 'Live' })
      const messages = await reading
      expect(messages[0]).toMatchObject({ event: 'hello', data: { resumed: false } })
      expect(messages.find((one) => one.event === 'status')).toMatchObject({
        data: { backend: 'memory', state: 'healthy' },
      })
      const last = messages.at(-1)
      expect(last?.data).toMatchObject({
        events: [{ type: 'session:created', sessionId }],
        sessions: [{ sessionId, title: 'Live' }],
      })

      for (const title of ['1', '2', '3']) await backend.patch(`/api/sessions/${sessionId}`, { title })
      const missed = await listen(feed(), (all) => eventsOf(all).length >= 3, last?.id)
      expect(missed[0]).toMatchObject({ event: 'hello', data: { resumed: true } })
      expect(eventsOf(missed)).toEqual(['session:updated', 'session:updated', 'session:updated'])
    })

    it('begins anew after an id that it does not know', async () => {
      const messages = await listen(feed(), (all) => all.length > 0, 'never-was-a-cursor')
      expect(messages[0]).toMatchObject({ event: 'hello', data: { resumed: false } })
    })

    it('forgets a client that is gone', async () => {
      await listen(feed(), (all) => all.length > 0)
      await backend.listeners(0)
    })

    const eventsOf = (messages: Message[]) =>
      messages.flatMap((one) => one.data.events ?? []).map((event) => event.type)
  })
})

describe('what an error of the storage becomes', () => {
  const error = (code: string, more: object = {}) =>
    Object.assign(Object.create(StorageError.prototype) as StorageError, {
      code,
      message: 'why',
      retryable: false,
      ...more,
    })

  it.each<[string, object, number, string | undefined]>([
    ['STORAGE_INVALID', { issues: [{ path: ['title'] }] }, 400, undefined],
    ['STORAGE_NOT_FOUND', {}, 404, undefined],
    ['STORAGE_CONFLICT', {}, 409, undefined],
    ['STORAGE_EXISTS', {}, 409, undefined],
    ['STORAGE_TRANSITION', { from: 'failed', to: 'pending' }, 409, undefined],
    ['STORAGE_ARCHIVED', {}, 409, undefined],
    ['STORAGE_CAPACITY', { limit: 'tags' }, 429, undefined],
    ['STORAGE_UNAVAILABLE', { retryAfterMs: 1200 }, 503, '2'],
    ['STORAGE_TIMEOUT', {}, 503, '1'],
    ['STORAGE_CIRCUIT_OPEN', { retryAfterMs: 30_000 }, 503, '30'],
  ])('%s', async (code, more, status, retryAfter) => {
    const answer = await ask(error(code, more))
    expect(answer.statusCode).toBe(status)
    expect(answer.headers['retry-after']).toBe(retryAfter)
    const { retryAfterMs: _, ...told } = more as { retryAfterMs?: number }
    expect(answer.json()).toEqual({ error: { code, message: 'why', retryable: false, ...told } })
  })

  it.each<[string, unknown]>([
    ['STORAGE_INTERNAL', error('STORAGE_INTERNAL', { message: 'a secret' })],
    ['STORAGE_CORRUPT', error('STORAGE_CORRUPT', { message: 'a secret' })],
    ['any other error', new Error('a secret')],
  ])('%s tells no details', async (_name, cause) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    const answer = await ask(cause)
    expect(answer.statusCode).toBe(500)
    expect(answer.body).not.toContain('secret')
    expect(log).toHaveBeenCalledWith(cause)
  })

  it('a body that is too large is refused unread', async () => {
    const payload = { title: 'x'.repeat(5_000_000) }
    const answer = await buildApp({} as IStorage).inject({
      method: 'POST',
      url: '/api/users/eve/sessions',
      payload,
    })
    expect(answer.statusCode).toBe(413)
  })

  /** The answer of an application whose storage fails in this way. */
  async function ask(cause: unknown) {
    const app = buildApp({ getSession: () => Promise.reject(cause) } as Partial<IStorage> as IStorage)
    return app.inject({ url: '/api/sessions/ses_x' })
  }
})

describe('the backend as a process', () => {
  const started: Backend[] = []
  const start = async (env?: Record<string, string>) => {
    const backend = await Backend.start(env)
    started.push(backend)
    return backend
  }
  afterEach(async () => {
    await Promise.all(started.splice(0).map((backend) => backend.stop()))
  })

  it('takes the next free port and says so', async () => {
    const first = await start()
    const taken = new URL(first.url).port
    const second = await start({ PORT: taken })
    expect(Number(new URL(second.url).port)).toBeGreaterThan(Number(taken))
    expect(second.lines[0]).toContain(`port ${taken} was taken`)
  })

  it.each<NodeJS.Signals>(['SIGINT', 'SIGTERM'])(
    'ends within a second on %s, also while it records and is listened to',
    async (signal) => {
      const took: number[] = []
      // A busy machine may hold one of them up, but not each.
      while (took.length < 3 && !took.some((ms) => ms < 1000)) {
        const backend = await start()
        listen(`${backend.url}/api/users/demo/feed`, () => false).catch(() => {})
        await backend.listeners(1)
        const { code, ms } = await backend.stop(signal)
        expect(code).toBe(0)
        took.push(ms)
      }
      expect(Math.min(...took)).toBeLessThan(1000)
    },
  )

  it('refuses to begin in production without Redis, and says how', async () => {
    await expect(Backend.start({ NODE_ENV: 'production' })).rejects.toThrow(/REDIS_URL/)
  })
})
