import { afterAll, describe, expect, it, vi } from 'vitest'
import { existing, Fixture, newUser } from './behavior/fixture.js'
import { crew, type Task } from './support/crew.js'
import { type Event, RedisAdapter } from './support/flowkeep.js'
import { rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'

vi.setConfig({ testTimeout: 120_000 })

const url = redisUrl()
const prefix = uniquePrefix()
const storage = new RedisAdapter(url, { prefix })
const fixture = new Fixture(storage)
const eight = [0, 1, 2, 3, 4, 5, 6, 7]

afterAll(async () => {
  await storage.close()
  const client = rawClient(url)
  await sweep(client, prefix)
  client.disconnect()
})

const together = (tasks: readonly Task[]) => crew(url, prefix, tasks)

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

/** Ten values, the last of which must survive. */
const values = (make: (n: number) => unknown) => numbers(10).map(make)

const typesAbout = (log: readonly Event[], chainId: string) =>
  log.filter((event) => event.chainId === chainId && event.stepId === undefined).map((event) => event.type)

describe('eight processes', () => {
  it('lose no update of a field of one session', async () => {
    const { sessionId } = await fixture.session()
    const update = { method: 'updateSession', id: sessionId }
    const write = (field: string, make: (n: number) => unknown): Task => ({
      task: 'updateField',
      args: { ...update, field, values: values(make) },
    })
    const add = (key: string): Task => ({
      task: 'addKey',
      args: { ...update, field: 'metadata', key, count: 10 },
    })
    await together([
      write('title', (n) => `title ${n}`),
      write('tags', (n) => [`tag ${n}`]),
      write('state', (n) => (n % 2 === 1 ? 'paused' : 'active')),
      ...['a', 'b', 'c', 'd', 'e'].map(add),
    ])
    const session = existing(await storage.getSession(sessionId))
    expect(session).toMatchObject({ title: 'title 10', tags: ['tag 10'], state: 'active' })
    expect(session.metadata).toEqual({ a: 10, b: 10, c: 10, d: 10, e: 10 })
    expect(session.version).toBe(81)
    expect(await fixture.eventsOf({ sessionId })).toHaveLength(81)
  })

  it('lose no update of a field of one step', async () => {
    const { stepId, sessionId } = await fixture.step()
    const write = (field: string, make: (n: number) => unknown): Task => ({
      task: 'updateField',
      args: { method: 'updateStep', id: stepId, field, values: values(make) },
    })
    const add = (key: string): Task => ({
      task: 'addKey',
      args: { method: 'updateStep', id: stepId, field: 'inputs', key, count: 10 },
    })
    await together([
      write('action', (n) => `action ${n}`),
      write('model', (n) => `model ${n}`),
      write('result', (n) => [n]),
      write('error', (n) => `error ${n}`),
      write('status', () => 'in_progress'),
      ...['a', 'b', 'c'].map(add),
    ])
    const step = existing(await storage.getStep(stepId))
    expect(step).toMatchObject({ action: 'action 10', model: 'model 10', result: [10], error: 'error 10' })
    expect(step).toMatchObject({ status: 'in_progress', inputs: { a: 10, b: 10, c: 10 }, version: 72 })
    const log = await fixture.eventsOf({ sessionId })
    expect(log.filter((event) => event.stepId === stepId)).toHaveLength(72)
  })

  it('add up to one counter', async () => {
    const { sessionId } = await fixture.session()
    await together(eight.map(() => ({ task: 'increment', args: { id: sessionId, count: 25 } })))
    expect(await storage.getSession(sessionId)).toMatchObject({ metadata: { n: 200 }, version: 201 })
  })

  it.each([
    ['completed', 'chain:completed', 'completed'],
    ['failed', 'chain:failed', 'failed'],
  ] as const)(
    'bring 64 steps of one chain to %s at once: all counted, the chain ends once',
    async (status, type, counted) => {
      const { chainId, sessionId, stepOrder } = await fixture.chainOf(
        numbers(64).map(() => 'in_progress' as const),
      )
      const share = (p: number) => stepOrder.filter((_, i) => i % 8 === p)
      await together(eight.map((p) => ({ task: 'moveSteps', args: { stepIds: share(p), status } })))
      const chain = existing(await storage.getChain(chainId))
      expect(chain.status).toBe(status)
      expect(chain.stepCounts).toMatchObject({ total: 64, pending: 0, inProgress: 0, [counted]: 64 })
      const log = await fixture.eventsOf({ sessionId })
      const types = typesAbout(log, chainId)
      expect(types.filter((one) => one === type)).toHaveLength(1)
      // The write that ends it archives it, too: one version, two events.
      expect(types.slice(-2)).toEqual([type, 'chain:archived'])
      expect(chain.version).toBe(types.length - 1)
      expect(log.filter((event) => event.type === `step:${status}`)).toHaveLength(64)
      for (const step of await storage.listSteps(chainId)) expect(step).toMatchObject({ status, version: 3 })
    },
  )

  it('start one chain once', async () => {
    const { chainId, sessionId, stepOrder } = await fixture.chainOf(numbers(16).map(() => 'pending' as const))
    const share = (p: number) => stepOrder.filter((_, i) => i % 8 === p)
    await together(
      eight.map((p) => ({ task: 'moveSteps', args: { stepIds: share(p), status: 'in_progress' } })),
    )
    expect(await storage.getChain(chainId)).toMatchObject({
      status: 'in_progress',
      stepCounts: { inProgress: 16 },
    })
    const types = typesAbout(await fixture.eventsOf({ sessionId }), chainId)
    expect(types.filter((type) => type === 'chain:started')).toHaveLength(1)
  })

  it('number the steps of one chain without a hole or a duplicate', async () => {
    const { chainId, sessionId } = await fixture.chain()
    const made = await together(eight.map(() => ({ task: 'createSteps', args: { chainId, count: 20 } })))
    const steps = await storage.listSteps(chainId)
    expect(steps.map((step) => step.stepNumber)).toEqual(numbers(160))
    expect(steps.map((step) => step.stepId as string).sort()).toEqual((made.flat() as string[]).sort())
    const chain = existing(await storage.getChain(chainId))
    expect(chain.stepOrder).toEqual(steps.map((step) => step.stepId))
    expect(chain.stepCounts).toMatchObject({ total: 160, pending: 160 })
    expect(chain.version).toBe(typesAbout(await fixture.eventsOf({ sessionId }), chainId).length)
  })

  it('create chains in one session, each of them once', async () => {
    const { sessionId } = await fixture.session()
    const made = await together(eight.map(() => ({ task: 'createChains', args: { sessionId, count: 20 } })))
    const chains = await storage.listChains(sessionId)
    expect(chains).toHaveLength(160)
    expect(chains.map((chain) => chain.chainId as string).sort()).toEqual((made.flat() as string[]).sort())
    const ids = (await fixture.eventsOf({ sessionId })).map((event) => event.eventId)
    expect([...ids].sort()).toEqual(ids)
    expect(new Set(ids).size).toBe(161)
  })

  it('make one record with one idempotency key', async () => {
    const userId = newUser()
    const { sessionId, chainId } = await fixture.chain()
    const args = { userId, sessionId, chainId, idempotencyKey: 'once' }
    const made = (await together(eight.map(() => ({ task: 'createOnce', args })))) as string[][]
    expect(new Set(made.map((ids) => ids.join())).size).toBe(1)
    expect(await storage.listSessions(userId)).toHaveLength(1)
    expect(await storage.listChains(sessionId)).toHaveLength(2)
    expect(await storage.listSteps(chainId)).toHaveLength(1)
    const feed = await fixture.eventsOf({ userId })
    expect(feed.map((event) => event.type)).toEqual(['session:created'])
  })
})
