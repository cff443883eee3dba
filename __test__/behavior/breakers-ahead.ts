import { expect, it } from 'vitest'
import type { Breaker, BreakerConfig } from '../support/flowkeep.js'

const down = () => Promise.reject(new Error('down'))
const up = () => Promise.resolve('up')

/** A way to make numbers that look random and are the same every time. */
function dice(seed: number): (most: number) => number {
  let state = seed
  return (most) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * most)
  }
}

/** Healthy calls ask nobody, not even the engine: whatever is asked of the breaker, they count as if they did. */
export function testAhead(make: (config?: BreakerConfig) => Breaker): void {
  it('counts each healthy call at once, as far as anybody can see', async () => {
    const breaker = make()
    for (let n = 1; n <= 150; n++) {
      await breaker.call(n % 2 === 0 ? up : () => 'at once')
      if (n % 7 !== 0 && n < 140) continue
      expect(await breaker.metrics()).toMatchObject({ calls: n, admitted: n, successCount: n, late: 0 })
    }
    await Promise.all(Array.from({ length: 200 }, () => breaker.call(up)))
    expect(await breaker.state()).toMatchObject({ state: 'closed', successCount: 350, failureCount: 0 })
    expect(await breaker.metrics()).toMatchObject({ calls: 350, admitted: 350, failures: 0 })
  })

  it('counts in the order in which calls end', async () => {
    const breaker = make({ failureThreshold: 3 })
    for (const fn of [up, down, down, up, down, down, up]) await breaker.call(fn).catch(() => {})
    expect(await breaker.metrics()).toMatchObject({ consecutiveFailures: 0, failures: 4, calls: 7 })
    for (const fn of [down, down]) await breaker.call(fn).catch(() => {})
    expect(await breaker.metrics()).toMatchObject({ consecutiveFailures: 2 })
    await expect(breaker.call(down)).rejects.toThrow('down')
    await expect(breaker.call(up)).rejects.toMatchObject({ code: 'STORAGE_CIRCUIT_OPEN' })
    const [opened] = await breaker.history()
    expect(opened).toMatchObject({ event: 'opened', failures: 7, successes: 3 })
  })

  it('opens by a share that healthy calls had their part in', async () => {
    const config = { strategy: 'percentage_failures', minimumThroughput: 10, percentageThreshold: 5 } as const
    const breaker = make(config)
    for (let n = 0; n < 39; n++) await breaker.call(up)
    await expect(breaker.call(down)).rejects.toThrow('down')
    expect(await breaker.state()).toMatchObject({ state: 'closed' })
    await expect(breaker.call(down)).rejects.toThrow('down')
    expect(await breaker.state()).toMatchObject({ state: 'closed' })
    await expect(breaker.call(down)).rejects.toThrow('down')
    expect(await breaker.state()).toMatchObject({ state: 'open', cause: 'failure_rate' })
  })

  it('ends with an order, with other settings and with a listener', async () => {
    const breaker = make()
    for (let n = 0; n < 5; n++) await breaker.call(up)
    await breaker.isolate()
    await expect(breaker.call(up)).rejects.toMatchObject({ code: 'STORAGE_CIRCUIT_OPEN' })
    await breaker.reset()
    for (let n = 0; n < 5; n++) await breaker.call(up)
    expect(await breaker.state()).toMatchObject({ successCount: 5 })
    const heard: string[] = []
    const off = breaker.on('succeeded', ({ name }) => heard.push(name))
    for (let n = 0; n < 3; n++) await breaker.call(up)
    off()
    await breaker.call(up)
    expect(heard).toEqual([breaker.name, breaker.name, breaker.name])
    expect(await breaker.metrics()).toMatchObject({ calls: 9, successCount: 9 })
  })

  it('does not count healthy calls that began before it was reset', async () => {
    const breaker = make()
    await breaker.call(up)
    let end: (value: string) => void = () => {}
    const calls = [1, 2].map(() =>
      breaker.call(
        () =>
          new Promise<string>((resolve) => {
            const before = end
            end = (value) => {
              before(value)
              resolve(value)
            }
          }),
      ),
    )
    await breaker.reset()
    end('late')
    expect(await Promise.all(calls)).toEqual(['late', 'late'])
    expect(await breaker.state()).toMatchObject({ successCount: 0 })
    expect(await breaker.metrics()).toMatchObject({ late: 2, admitted: 3 })
  })

  it('counts the same whether or not anybody listens to each call', async () => {
    const rules: BreakerConfig[] = [
      { failureThreshold: 4, openSeconds: 900 },
      { strategy: 'percentage_failures', minimumThroughput: 30, percentageThreshold: 12, openSeconds: 900 },
      { strategy: ['rolling_window'], failureThreshold: 6, samplingCalls: 60, openSeconds: 900 },
    ]
    for (const [place, rule] of rules.entries()) {
      const [quiet, heard] = [make(rule), make(rule)]
      let told = 0
      heard.on('attempted', () => told++)
      const roll = dice(place + 1)
      for (let step = 0; step < 300; step++) {
        const kind = roll(40)
        const failing = Array.from({ length: 1 + roll(4) }, () => roll(12) === 0)
        for (const breaker of [quiet, heard]) {
          if (kind === 0) await breaker.reset()
          const calls = failing.map((fails) => breaker.call(fails ? down : up))
          await Promise.allSettled(calls)
        }
        if (kind < 6) {
          expect(await quiet.metrics()).toEqual(await heard.metrics())
          const seen = ({ state, failureCount, successCount, generation, cause }: BreakerFacts) => ({
            state,
            failureCount,
            successCount,
            generation,
            cause,
          })
          expect(seen(await quiet.state())).toEqual(seen(await heard.state()))
        }
      }
      expect((await heard.metrics()).admitted).toBe(told)
      expect(await quiet.metrics()).toEqual(await heard.metrics())
    }
  })
}

type BreakerFacts = Awaited<ReturnType<Breaker['state']>>
