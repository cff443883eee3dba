import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type {
  Breaker,
  BreakerConfig,
  BreakerTransition,
  CircuitOpenError,
  MemoryStorage,
  StorageOptions,
} from '../support/flowkeep.js'
import { until } from '../support/until.js'
import { testAhead } from './breakers-ahead.js'

/** What breakers are tested on. */
export interface BreakerSubject {
  name: string
  open(options?: StorageOptions): Promise<Pick<MemoryStorage, 'breakers' | 'close'>>
}

const down = () => Promise.reject(new Error('down'))
const up = () => Promise.resolve('up')

/** Calls that fail, each with its own error. */
async function fail(breaker: Breaker, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await expect(breaker.call(down)).rejects.toThrow('down')
}

let names = 0
const fresh = () => `upstream ${++names}`

/** The contract of circuit breakers, on every store. */
export function testBreakers(subject: BreakerSubject): void {
  describe(`circuit breakers on ${subject.name}`, () => {
    let storage: Awaited<ReturnType<BreakerSubject['open']>>
    beforeAll(async () => {
      storage = await subject.open()
    })
    afterAll(() => storage.close())
    const make = (config: BreakerConfig = {}) => storage.breakers.get(fresh(), config)

    calls(make)
    opening(make)
    orders(make)
    names_(() => storage.breakers)
    told(make, () => storage.breakers)
    testAhead(make)
  })
}

function calls(make: (config?: BreakerConfig) => Breaker): void {
  it('gives what the function gives and throws what it throws', async () => {
    const breaker = make()
    const given = { an: 'object' }
    expect(await breaker.call(() => given)).toBe(given)
    expect(await breaker.call(() => Promise.resolve(given))).toBe(given)
    const thrown = { not: 'an error' }
    const throws = () => {
      throw thrown
    }
    await expect(breaker.call(throws)).rejects.toBe(thrown)
    await expect(breaker.call(() => Promise.reject(thrown))).rejects.toBe(thrown)
    await expect(breaker.call(throws, { timeoutMs: 1_000 })).rejects.toBe(thrown)
    expect(await breaker.metrics()).toMatchObject({ calls: 5, failures: 3, failureRate: 60, admitted: 5 })
  })

  it('ends a call that takes too long as failed, and does not count its end', async () => {
    const breaker = make({ failureThreshold: 1 })
    let end: (value: string) => void = () => {}
    let aborted = false
    const slow = ({ signal }: { signal: AbortSignal }) => {
      signal.addEventListener('abort', () => {
        aborted = true
      })
      return new Promise<string>((resolve) => {
        end = resolve
      })
    }
    await expect(breaker.call(slow, { timeoutMs: 20 })).rejects.toMatchObject({ code: 'STORAGE_TIMEOUT' })
    expect(aborted).toBe(true)
    end('late')
    expect(await breaker.state()).toMatchObject({ state: 'open', failureCount: 1, successCount: 0 })
  })

  it('ends an aborted call with the reason, and counts nothing', async () => {
    const breaker = make({ failureThreshold: 1 })
    const controller = new AbortController()
    const never = breaker.call(() => new Promise(() => {}), { signal: controller.signal })
    controller.abort('enough')
    await expect(never).rejects.toBe('enough')
    const already = breaker.call(up, { signal: controller.signal })
    await expect(already).rejects.toBe('enough')
    expect(await breaker.metrics()).toMatchObject({ calls: 0, admitted: 2 })
  })

  it('asks the caller what a failure is', async () => {
    const odd = make({ failureThreshold: 1, isFailure: (what) => what === 'bad' })
    await expect(odd.call(down)).rejects.toThrow('down')
    expect(await odd.call(() => 'good')).toBe('good')
    expect(await odd.state()).toMatchObject({ state: 'closed', successCount: 2 })
    expect(await odd.call(() => 'bad')).toBe('bad')
    expect(await odd.state()).toMatchObject({ state: 'open', failureCount: 1 })

    const ignoring = make({ failureThreshold: 1, ignore: [TypeError, 'E_ASKED'] })
    const asked = Object.assign(new Error('asked'), { code: 'E_ASKED' })
    for (const error of [new TypeError('t'), asked]) {
      await expect(ignoring.call(() => Promise.reject(error))).rejects.toBe(error)
    }
    expect(await ignoring.state()).toMatchObject({ state: 'closed' })
    const recording = make({ failureThreshold: 1, record: [RangeError] })
    await expect(recording.call(down)).rejects.toThrow('down')
    expect(await recording.state()).toMatchObject({ state: 'closed' })
    await expect(recording.call(() => Promise.reject(new RangeError('r')))).rejects.toThrow('r')
    expect(await recording.state()).toMatchObject({ state: 'open' })
  })
}

function opening(make: (config?: BreakerConfig) => Breaker): void {
  it('opens, refuses, tries, and closes', async () => {
    const breaker = make({ failureThreshold: 3, successThreshold: 2, openSeconds: 0.15 })
    await fail(breaker, 3)
    const refused = await breaker.call(up).catch((error: CircuitOpenError) => error)
    expect(refused).toMatchObject({
      code: 'STORAGE_CIRCUIT_OPEN',
      circuit: breaker.name,
      operation: 'breaker.call',
      outcome: 'not-applied',
    })
    expect((refused as CircuitOpenError).retryAfterMs).toBeGreaterThan(0)
    await until(async () => (await breaker.call(up).catch(() => '')) === 'up', 'a call is let through')
    expect(await breaker.state()).toMatchObject({ state: 'half_open' })
    expect(await breaker.call(up)).toBe('up')
    expect(await breaker.state()).toMatchObject({ state: 'closed', failureCount: 0, cause: 'probes_passed' })
    const history = await breaker.history()
    expect(history.map(({ event, cause }) => [event, cause])).toEqual([
      ['closed', 'probes_passed'],
      ['halfOpened', 'time_over'],
      ['opened', 'consecutive_failures'],
    ])
    expect(history[2]).toMatchObject({ from: 'closed', to: 'open', failures: 3 })
    expect((await breaker.history({ limit: 1 })).length).toBe(1)
  })

  it('lets one probe through at a time, and opens again when it fails', async () => {
    const breaker = make({ failureThreshold: 1, openSeconds: 0.1 })
    await fail(breaker, 1)
    let end: ((error: Error) => void) | undefined
    const hanging = () =>
      new Promise((_, reject) => {
        end = reject
      })
    let probe: Promise<unknown> | undefined
    await until(async () => {
      const tried = breaker.call(hanging)
      tried.catch(() => {})
      probe = tried
      await Promise.race([tried.catch(() => {}), new Promise((resolve) => setTimeout(resolve, 50))])
      // Half open it is by the time alone, just behind a call that was refused.
      return end !== undefined
    }, 'a probe runs')
    expect(await breaker.state()).toMatchObject({ state: 'half_open' })
    await expect(breaker.call(up)).rejects.toMatchObject({ code: 'STORAGE_CIRCUIT_OPEN' })
    end?.(new Error('still down'))
    await expect(probe).rejects.toThrow('still down')
    expect(await breaker.state()).toMatchObject({ state: 'open', cause: 'probe_failed' })
  })

  it('opens by a percentage, by the window, by slow calls, and by a rule of the caller', async () => {
    const rate = make({
      strategy: 'percentage_failures',
      minimumThroughput: 4,
      percentageThreshold: 50,
    })
    for (const fn of [down, up, up, down]) await rate.call(fn).catch(() => {})
    expect(await rate.state()).toMatchObject({ state: 'open', cause: 'failure_rate' })

    const window = make({ strategy: ['rolling_window'], failureThreshold: 2, samplingCalls: 3 })
    for (const fn of [down, up, up, down, up, down]) await window.call(fn).catch(() => {})
    expect(await window.state()).toMatchObject({ state: 'open', cause: 'failures_in_window' })

    const slow = make({
      strategy: 'slow_calls',
      slowCallSeconds: 0,
      slowCallPercentage: 100,
      minimumThroughput: 2,
    })
    for (const fn of [up, up]) await slow.call(fn)
    expect(await slow.state()).toMatchObject({ state: 'open', cause: 'slow_call_rate' })

    const own = make({ strategy: ({ failures, calls }) => calls >= 3 && failures >= 1 })
    for (const fn of [down, up, up]) await own.call(fn).catch(() => {})
    expect(await own.state()).toMatchObject({ state: 'open', cause: 'custom' })

    const counting = make({ metricsOnly: true, failureThreshold: 1 })
    await fail(counting, 3)
    expect(await counting.state()).toMatchObject({ state: 'closed', failureCount: 3 })
  })

  it('has the numbers of the presets', async () => {
    const fuse = make({ preset: 'fuse' })
    await fail(fuse, 4)
    expect(await fuse.state()).toMatchObject({ state: 'closed' })
    await fail(fuse, 1)
    const open = await fuse.state()
    expect(open.state).toBe('open')
    expect(Number(open.until) - Number(open.openedAt)).toBe(60_000)

    const connexions = make({ preset: 'connexions' })
    await fail(connexions, 2)
    expect(await connexions.state()).toMatchObject({ state: 'closed' })
    await connexions.call(up)
    expect(await connexions.state()).toMatchObject({ state: 'open', cause: 'failure_rate' })
  })

  it('gives a fallback for its own refusal only', async () => {
    const value = make({ failureThreshold: 1, fallback: 'instead' })
    await fail(value, 1)
    expect(await value.call(up)).toBe('instead')
    const fn = make({ failureThreshold: 1, fallback: (error: CircuitOpenError) => error.code })
    await fail(fn, 1)
    expect(await fn.call(up)).toBe('STORAGE_CIRCUIT_OPEN')
  })
}

function orders(make: (config?: BreakerConfig) => Breaker): void {
  it('obeys, and remembers why and who', async () => {
    const breaker = make()
    const order = { reason: 'maintenance', actor: 'ops' }
    expect(await breaker.isolate(order)).toMatchObject({ state: 'isolated', retryAfterMs: null })
    await expect(breaker.call(up)).rejects.toMatchObject({ code: 'STORAGE_CIRCUIT_OPEN' })
    expect(await breaker.disable(order)).toMatchObject({ state: 'disabled' })
    await fail(breaker, 6)
    expect(await breaker.state()).toMatchObject({ state: 'disabled', failureCount: 0 })
    expect(await breaker.open({ ...order, forSeconds: 100 })).toMatchObject({ state: 'open' })
    const opened = await breaker.state()
    // Opening an open one changes nothing.
    expect(await breaker.open({ forSeconds: 900 })).toMatchObject({ generation: opened.generation })
    expect((await breaker.state()).until).toEqual(opened.until)
    expect(await breaker.close()).toMatchObject({ state: 'closed' })
    expect(await breaker.reset({ actor: 'me' })).toMatchObject({ state: 'closed' })
    const history = await breaker.history()
    expect(history.map((entry) => [entry.event, entry.actor])).toEqual([
      ['reset', 'me'],
      ['closed', undefined],
      ['opened', 'ops'],
      ['disabled', 'ops'],
      ['isolated', 'ops'],
    ])
  })

  it('ends an order when its time is over', async () => {
    const breaker = make()
    await breaker.isolate({ forSeconds: 0.05 })
    await until(async () => (await breaker.call(up).catch(() => '')) === 'up', 'a call is let through')
    expect(await breaker.state()).toMatchObject({ state: 'closed', cause: 'time_over' })
  })

  it('does not count calls that began before it was reset', async () => {
    const breaker = make({ failureThreshold: 1 })
    let end: (error: Error) => void = () => {}
    const call = breaker.call(
      () =>
        new Promise((_, reject) => {
          end = reject
        }),
    )
    // Whether the call may be made can be a question to the store.
    await until(async () => (await breaker.metrics()).admitted === 1, 'the call is let through')
    await breaker.reset()
    end(new Error('late'))
    await expect(call).rejects.toThrow('late')
    expect(await breaker.state()).toMatchObject({ state: 'closed', failureCount: 0 })
    expect((await breaker.metrics()).late).toBe(1)
  })
}

function names_(breakers: () => MemoryStorage['breakers']): void {
  it('gives the same breaker for the same name, as it is', async () => {
    const name = fresh()
    const first = breakers().get(name, { failureThreshold: 1 })
    await fail(first, 1)
    expect(breakers().get(name)).toBe(first)
    expect(breakers().get(name, { failureThreshold: 9 })).toBe(first)
    expect(await first.state()).toMatchObject({ state: 'open', name })
    const others = [{ context: 'a' }, { boundary: 'a' }, { context: 'b', boundary: 'a' }]
    for (const other of others) {
      expect(await breakers().get(name, other).state()).toMatchObject({ state: 'closed', name, ...other })
    }
    const listed = await breakers().list()
    for (const other of [{}, ...others]) expect(listed).toContainEqual({ name, ...other })
  })

  it('names every option that can not be used', () => {
    const bad = { failureThreshold: -1, preset: 'other', openSeconds: Number.NaN, unknown: 1 }
    const get = () => breakers().get('', bad as unknown as BreakerConfig)
    expect(get).toThrow(
      expect.objectContaining({
        code: 'STORAGE_INVALID',
        issues: expect.arrayContaining(
          ['name', 'failureThreshold', 'preset', 'openSeconds'].map((field) =>
            expect.objectContaining({ path: [field] }),
          ),
        ),
      }),
    )
    for (const name of [undefined, null, 1, 'x'.repeat(129), '\ud800']) {
      expect(() => breakers().get(name as string)).toThrow(
        expect.objectContaining({ code: 'STORAGE_INVALID' }),
      )
    }
  })
}

function told(make: (config?: BreakerConfig) => Breaker, breakers: () => MemoryStorage['breakers']): void {
  it('tells what happens', async () => {
    const breaker = make({ failureThreshold: 1, openSeconds: 0.05, successThreshold: 1 })
    const heard: string[] = []
    const types = ['attempted', 'succeeded', 'failed', 'rejected', 'opened', 'halfOpened', 'closed'] as const
    const off = types.map((type) => breaker.on(type, () => heard.push(type)))
    const moves: BreakerTransition[] = []
    off.push(breakers().on('opened', (event) => moves.push(event)))
    await breaker.call(up)
    await fail(breaker, 1)
    await expect(breaker.call(up)).rejects.toThrow()
    expect(heard).toEqual(['attempted', 'succeeded', 'attempted', 'failed', 'opened', 'rejected'])
    expect(moves).toMatchObject([
      { name: breaker.name, from: 'closed', to: 'open', cause: 'consecutive_failures' },
    ])
    heard.length = 0
    await until(async () => (await breaker.call(up).catch(() => '')) === 'up', 'a call is let through')
    await until(() => heard.includes('closed'), 'it is told that it closed')
    expect(heard.filter((type) => type !== 'rejected')).toEqual([
      'halfOpened',
      'attempted',
      'succeeded',
      'closed',
    ])
    for (const end of off) end()
    await breaker.call(up)
    expect(heard.at(-1)).toBe('closed')
  })
}
