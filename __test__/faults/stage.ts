// What the fault suites stand on.
import { afterEach, beforeEach, expect } from 'vitest'
import { openStorage, type Resilience, type Storage } from '../support/flowkeep.js'
import { TcpProxy } from '../support/proxy.js'
import { OwnServer } from '../support/server.js'
import { until } from '../support/until.js'

/** `npm run test:faults` takes the long way; without it the same faults are tried for a moment each. */
export const full = process.env.FLOWKEEP_FAULTS === 'full'
export const much = <T>(long: T, short: T): T => (full ? long : short)

/** How long one test may take, in ms. */
export const LONG = 900_000

/** What is done when a test is over, the latest first. */
export const ends: (() => unknown)[] = []

/** Every test of the file ends what it began, and leaves no promise that was rejected and not heard. */
export function onStage(): void {
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)
  beforeEach(() => {
    unhandled.length = 0
    process.on('unhandledRejection', note)
  })
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
  })
}

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
export const quiet = { info: () => undefined }

export async function ownServer(): Promise<OwnServer> {
  const server = await OwnServer.start()
  ends.push(() => server.dispose())
  return server
}

export async function proxied(server: OwnServer, seed: number): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(server.port, { seed })
  ends.push(() => proxy.dispose())
  return proxy
}

export async function opened(url: string, prefix: string, resilience: Resilience = {}): Promise<Storage> {
  const storage = await openStorage({ backend: 'redis', url, prefix, resilience, logger: quiet })
  ends.push(() => storage.close())
  return storage
}

export async function isHealthy(storage: Storage): Promise<void> {
  await until(async () => (await storage.status()).state === 'healthy', 'it is healthy again', 60_000)
}

/** What a full run measured, for whoever reads its output. */
export function measured(what: string, figures: Readonly<Record<string, number>>): void {
  const words = Object.entries(figures).map(([name, number]) => `${name} ${Math.round(number * 10) / 10}`)
  console.log(`measured: ${what}: ${words.join(', ')}`)
}

/** The number that so many of a hundred are not above. */
export function percentile(numbers: readonly number[], hundredth: number): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * hundredth) / 100))] ?? 0
}
