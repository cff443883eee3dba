// The dashboard's backend on Redis: what outlives it, and what it says while the server is away.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import {
  Backend,
  type Chain,
  type Failure,
  hear,
  type List,
  type Message,
  PATIENCE,
  type Session,
  type Step,
} from './dashboard/backend.js'
import { redisUrl } from './support/redis.js'
import { OwnServer } from './support/server.js'

describe('on Redis', () => {
  let env: Record<string, string>
  beforeAll(() => {
    env = { NODE_ENV: 'production', REDIS_URL: redisUrl() }
  })

  it('finds everything again after a restart', async () => {
    const user = `kim-${process.pid}-${Date.now()}`
    const first = await Backend.start(env)
    expect(first.lines[0]).toContain('(storage: redis)')
    const before = await first.recorded()
    const session = await first.post<Session>(`/api/users/${user}/sessions`, {
      title: 'Before',
      metadata: { n: 1 },
    })
    const chain = await first.post<Chain>(`/api/sessions/${session.sessionId}/chains`, { title: 'C' })
    const step = await first.post<Step>(`/api/chains/${chain.chainId}/steps`, { action: 'a' })
    expect((await first.stop()).code).toBe(0)

    const second = await Backend.start(env)
    try {
      const after = await second.recorded()
      expect(after.session.sessionId).toBe(before.session.sessionId)
      expect(await second.get(`/api/chains/${before.chain.chainId}`)).toEqual(before.chain)
      expect(await second.get(`/api/chains/${before.chain.chainId}/steps`)).toEqual({ items: before.steps })
      const chains = await second.get<List<Chain>>(`/api/sessions/${before.session.sessionId}/chains`)
      expect(chains.items.map((one) => one.chainId)).toEqual(
        expect.arrayContaining([before.chain.chainId, after.chain.chainId]),
      )
      expect(await second.get(`/api/steps/${step.stepId}`)).toEqual(step)
      const log = await second.get<List<{ type: string }>>(`/api/users/${user}/events`)
      expect(log.items.map((event) => event.type).slice(0, 2)).toEqual(['session:created', 'chain:created'])
    } finally {
      await second.stop()
    }
  })

  it('closes at the start what a killed backend left open', async () => {
    // What it was killed over can't be tidied up by itself.
    const scratch = await mkdtemp(join(tmpdir(), 'flowkeep-killed-'))
    const first = await Backend.start({ ...env, TMPDIR: scratch })
    const running = await vi.waitFor(async () => {
      const session = (await first.get<List<Session>>('/api/users/demo/sessions')).items.find(
        (one) => one.title === 'This checkout',
      )
      const chain = (await first.get<List<Chain>>(`/api/sessions/${session?.sessionId}/chains?order=desc`))
        .items[0]
      const steps = await first.get<List<Step>>(`/api/chains/${chain?.chainId}/steps`)
      // The longest of the commands, so that it is still running when the signal comes.
      const longest = steps.items?.find((step) => step.action.startsWith('npm ls'))
      if (!chain || longest?.status !== 'in_progress') throw new Error('it does not run yet')
      return chain
    }, PATIENCE)
    await first.stop('SIGKILL')
    await rm(scratch, { recursive: true, force: true })
    const second = await Backend.start(env)
    try {
      const chain = await vi.waitFor(async () => {
        const found = await second.get<Chain>(`/api/chains/${running.chainId}`)
        if (found.status === 'in_progress') throw new Error('still open')
        return found
      }, PATIENCE)
      expect(chain.status).toBe('failed')
      const { items } = await second.get<List<Step>>(`/api/chains/${running.chainId}/steps`)
      expect(items.map((step) => step.status)).not.toContain('in_progress')
      expect(items.some((step) => step.error?.startsWith('interrupted'))).toBe(true)
    } finally {
      await second.stop()
    }
  })

  it('one client’s write is seen on another backend’s feed', async () => {
    const [one, two] = await Promise.all([Backend.start(env), Backend.start(env)])
    const user = `lou-${process.pid}-${Date.now()}`
    try {
      const reading = hear(`${one.url}/api/users/${user}/feed`, (all) =>
        all.some((message) => message.event === 'changes'),
      )
      await reading.greeted
      const { sessionId } = await two.post<Session>(`/api/users/${user}/sessions`, { title: 'Across' })
      expect((await reading.messages).at(-1)?.data.sessions).toMatchObject([{ sessionId, title: 'Across' }])
    } finally {
      await Promise.all([one.stop(), two.stop()])
    }
  })

  it('keeps a change while Redis is away, says so on the feed, and misses nothing when it is back', async () => {
    const server = await OwnServer.start()
    const backend = await Backend.start({ NODE_ENV: 'production', REDIS_URL: server.url })
    try {
      const { session } = await backend.recorded()
      const path = `/api/sessions/${session.sessionId}`
      const feed = `${backend.url}/api/users/demo/feed`
      const troubled = (message: Message) => message.event === 'status' && message.data.trouble
      const kept = (message: Message) => message.data.sessions?.some(({ title }) => title === 'Kept')
      const trouble = hear(feed, (all) => all.some(troubled))
      const back = hear(feed, (all) => all.some(kept))
      await Promise.all([trouble.greeted, back.greeted])
      await server.kill()
      const away = await backend.call<{ pending?: boolean }>('PATCH', path, { title: 'Kept' })
      expect(away).toMatchObject({ status: 200, body: { pending: true } })
      const unknown = await backend.call<Failure>('GET', '/api/users/nobody/sessions')
      expect(unknown.status).toBe(503)
      expect(Number(unknown.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
      expect(unknown.body.error.code).toMatch(/^STORAGE_(UNAVAILABLE|TIMEOUT|CIRCUIT_OPEN)$/)
      expect((await trouble.messages).find(troubled)?.data.trouble).toMatch(/^STORAGE_/)
      await server.start()
      expect((await back.messages).some(kept)).toBe(true)
    } finally {
      await backend.stop()
      await server.dispose()
    }
  })
})
