// The dashboard's circuit breaker around a service that fails: over REST, between two backends, and on the page.
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { Backend, type Failure, type List, PATIENCE } from './dashboard/backend.js'
import { usePage } from './dashboard/page.js'
import { rawClient, redisUrl } from './support/redis.js'

interface Shown {
  name: string
  state: string
  latest: string
  metrics: { calls: number; failures: number; rejected: number }
  changes: { event: string; cause: string; reason?: string; actor?: string }[]
}

async function shown(backend: Backend): Promise<Shown> {
  const { items } = await backend.get<List<Shown>>('/api/breakers')
  const [estimates] = items
  if (estimates === undefined) throw new Error('there is no breaker')
  return estimates
}

const becomes = (backend: Backend, state: string) =>
  vi.waitUntil(async () => (await shown(backend)).state === state, PATIENCE)

const tell = (backend: Backend, mode: string) =>
  backend.call<Failure>('PUT', '/api/upstream', { mode }).then(({ status, body }) => ({ status, body }))

describe('the breaker around another service', () => {
  let backend: Backend
  beforeAll(async () => {
    backend = await Backend.start()
  })
  afterAll(() => backend?.stop())

  it('opens when the service fails or is slow, and closes when it is well', async () => {
    await vi.waitUntil(async () => (await shown(backend)).latest.startsWith('8 steps take'), PATIENCE)
    expect(await tell(backend, 'fails')).toMatchObject({ status: 200 })
    await becomes(backend, 'open')
    expect((await shown(backend)).changes[0]).toMatchObject({
      event: 'opened',
      cause: 'consecutive_failures',
    })
    await vi.waitUntil(async () => (await shown(backend)).latest === 'not asked', PATIENCE)
    await tell(backend, 'works')
    await becomes(backend, 'closed')
    expect((await shown(backend)).changes[0]).toMatchObject({ event: 'closed', cause: 'probes_passed' })
    await tell(backend, 'is slow')
    await becomes(backend, 'open')
    const { changes } = await shown(backend)
    expect(changes.find(({ event }) => event === 'opened')).toMatchObject({ cause: 'slow_call_rate' })
    await tell(backend, 'works')
  })

  it('obeys orders that make sense', async () => {
    const order = { reason: 'the contract ended', actor: 'ann' }
    const path = '/api/breakers/estimates'
    expect(await backend.post<Shown>(`${path}/isolate`, order)).toMatchObject({
      state: 'isolated',
      changes: [{ event: 'isolated', ...order }, {}, {}, {}, {}],
    })
    expect(await backend.post<Shown>(`${path}/reset`, undefined)).toMatchObject({ state: 'closed' })
    const long = await backend.call<Failure>('POST', `${path}/isolate`, { actor: 'x'.repeat(129) })
    expect(long).toMatchObject({ status: 400, body: { error: { code: 'STORAGE_INVALID' } } })
    for (const wrong of [`${path}/destroy`, '/api/breakers/other/isolate']) {
      expect((await backend.call('POST', wrong, {})).status).toBe(404)
    }
    for (const mode of ['explodes', null, { toString: 1 }]) {
      const refused = await backend.call<Failure>('PUT', '/api/upstream', { mode })
      expect(refused).toMatchObject({ status: 400, body: { error: { retryable: false } } })
    }
    const foreign = await backend.call('POST', `${path}/isolate`, {}, { origin: 'http://evil.example' })
    expect(foreign.status).toBe(403)
    expect((await shown(backend)).state).toBe('closed')
  })
})

it('is one breaker for all backends on one Redis', async () => {
  const url = new URL('/9', redisUrl()).href
  const env = { NODE_ENV: 'production', REDIS_URL: url }
  const [one, two] = await Promise.all([Backend.start(env), Backend.start(env)])
  try {
    await one.post('/api/breakers/estimates/isolate', { actor: 'one' })
    await becomes(two, 'isolated')
    expect((await shown(two)).changes[0]).toMatchObject({ event: 'isolated', actor: 'one' })
    await two.post('/api/breakers/estimates/reset', { actor: 'two' })
    await becomes(one, 'closed')
  } finally {
    await Promise.all([one.stop(), two.stop()])
    const client = rawClient(url)
    await client.flushdb()
    client.disconnect()
  }
})

describe('the breaker on the page', () => {
  let page: Page
  let backend: Backend
  usePage(PATIENCE.timeout, (stage) => {
    ;({ backend, page } = stage)
  })
  beforeEach(async () => {
    await page.goto(backend.url)
  })

  const poll = (ask: () => unknown) => expect.poll(ask, { timeout: PATIENCE.timeout })
  const state = () => page.locator('.breaker .title-line .status-word').textContent()
  const changes = () => page.locator('.changes').textContent()
  const figure = async (name: string) => {
    const value = page.locator('.rates div', { hasText: name }).locator('dd')
    return Number.parseInt((await value.textContent()) ?? '', 10)
  }

  it('shows its state, its rates and its latest changes', async () => {
    await poll(state).toBe('closed')
    await poll(() => figure('calls')).toBeGreaterThan(0)
    await page.getByLabel('The service').selectOption('fails')
    await poll(state).toBe('open')
    await poll(changes).toContain('failures in a row')
    await poll(() => figure('refused')).toBeGreaterThan(0)
    expect(await figure('failed')).toBeGreaterThan(0)
    await poll(() => page.locator('#announcer').textContent()).toContain('estimates: open')
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await page.screenshot({ path: join(tmpdir(), `flowkeep-breaker-${colorScheme}.png`) })
    }
    await page.getByLabel('The service').selectOption('works')
    await poll(state).toBe('closed')
    await poll(changes).toContain('the probes passed')
  })

  it('is isolated and reset by keyboard alone, with reason and actor', async () => {
    await page.locator('.breaker').waitFor()
    await page.getByLabel('Reason').focus()
    await page.keyboard.type('<b>maintenance</b>')
    await page.keyboard.press('Tab')
    const outline = await page.evaluate(
      () => getComputedStyle(document.activeElement ?? document.body).outlineStyle,
    )
    expect(outline).toBe('solid')
    await page.keyboard.press('Enter')
    await poll(state).toBe('isolated')
    await poll(changes).toContain('<b>maintenance</b>by demo')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await poll(state).toBe('closed')
    await poll(changes).toContain('resetby demo')
  })
})
