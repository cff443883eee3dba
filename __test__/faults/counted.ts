import { expect } from 'vitest'
import { type IStorage, StorageError } from '../support/flowkeep.js'
import { rawClient } from '../support/redis.js'

type Fate = 'ok' | 'not-applied' | 'unknown'

/** A way of writing that does harm when it is done twice: it carries a number that no other write has. */
interface Way {
  readonly name: string
  write(storage: IStorage, n: number): Promise<unknown>
  /** The numbers that lie in the server, as often as they were written, in order where there is one. */
  read(client: Reader, prefix: string): Promise<number[]>
}

/** What is asked of a server: one, or a Cluster's. */
export interface Reader {
  call(command: string, ...args: string[]): Promise<unknown>
}

const one = 'counted'

const numbers = (flat: unknown): number[] => {
  const texts = flat as string[]
  return texts.flatMap((field, at) =>
    at % 2 === 0 ? Array<number>(Number(texts[at + 1])).fill(Number(field)) : [],
  )
}

const ways: readonly Way[] = [
  {
    name: 'queue.push',
    write: (storage, n) => storage.queue.push(one, { n }),
    async read(client, prefix) {
      const items = (await client.call('LRANGE', `${prefix}queue:${one}`, '0', '-1')) as string[]
      return items.map((item) => (JSON.parse(item) as { n: number }).n).reverse()
    },
  },
  {
    name: 'kv.hincrement',
    write: (storage, n) => storage.kv.hincrement(one, String(n)),
    read: async (client, prefix) => numbers(await client.call('HGETALL', `${prefix}kv:${one}`)),
  },
  {
    name: 'streams.add',
    write: (storage, n) => storage.streams.add(one, { n: String(n) }),
    async read(client, prefix) {
      const entries = (await client.call('XRANGE', `${prefix}stream:${one}`, '-', '+')) as [
        string,
        string[],
      ][]
      return entries.map(([, fields]) => Number(fields[1]))
    },
  },
]

/** Writers that write one after the other, each in its way, and what they were told. */
export class Counted {
  private readonly told = new Map<Way, Map<number, Fate>>(ways.map((way) => [way, new Map<number, Fate>()]))
  /** What single increments of one counter answered. */
  private readonly counts: number[] = []
  private doubts = 0
  private n = 0
  private stopped = false

  constructor(
    readonly storage: IStorage,
    readonly writers = 2,
  ) {}

  stop(): void {
    this.stopped = true
  }

  get accepted(): number {
    return [...this.told.values()].flatMap((fates) => [...fates.values()]).filter((fate) => fate === 'ok')
      .length
  }

  /** Every writer writes so many times in each way, or until it is stopped. */
  async write(each: number): Promise<void> {
    this.stopped = false
    const writer = async (way: Way | null) => {
      for (let done = 0; done < each && !this.stopped; done++) {
        await (way ? this.one(way) : this.count())
        // What is refused at once would leave no turn to the socket.
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await Promise.all(
      [...ways, null].flatMap((way) => Array.from({ length: this.writers }, () => writer(way))),
    )
  }

  private async one(way: Way): Promise<void> {
    const n = ++this.n
    this.told.get(way)?.set(n, (await fateOf(() => way.write(this.storage, n))).fate)
  }

  private async count(): Promise<void> {
    const { fate, answer } = await fateOf(() => this.storage.kv.increment('counter'))
    if (fate === 'ok') this.counts.push(answer as number)
    if (fate === 'unknown') this.doubts++
  }

  /** How many were told that nobody knows. */
  get unknown(): number {
    const fates = [...this.told.values()].flatMap((told) => [...told.values()])
    return this.doubts + fates.filter((fate) => fate === 'unknown').length
  }

  /**
   * Looks at what the server holds, by a client that owes nothing to the library: what was accepted is there once, what was
   * not applied is not there, and what nobody knows is there once at the most. No number of the counter was given out twice.
   */
  async expectExact(client: Reader, prefix: string): Promise<void> {
    for (const [way, fates] of this.told) {
      const stored = await way.read(client, prefix)
      expect(new Set(stored).size, `${way.name}: nothing twice`).toBe(stored.length)
      const there = new Set(stored)
      const of = (fate: Fate) => [...fates].filter(([, told]) => told === fate).map(([n]) => n)
      expect(
        of('ok').filter((n) => !there.has(n)),
        `${way.name}: nothing lost`,
      ).toEqual([])
      expect(
        of('not-applied').filter((n) => there.has(n)),
        `${way.name}: nothing that was refused`,
      ).toEqual([])
    }
    expect(new Set(this.counts).size, 'no number was given out twice').toBe(this.counts.length)
    const counter = Number(await client.call('GET', `${prefix}kv:counter`))
    expect(counter).toBeGreaterThanOrEqual(this.counts.length)
    expect(counter).toBeLessThanOrEqual(this.counts.length + this.doubts)
  }
}

async function fateOf(write: () => Promise<unknown>): Promise<{ fate: Fate; answer?: unknown }> {
  try {
    return { fate: 'ok', answer: await write() }
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    return { fate: error.outcome === 'unknown' ? 'unknown' : 'not-applied' }
  }
}

/** A server, asked by a client that owes nothing to the library. */
export async function raw<T>(url: string, use: (client: Reader) => Promise<T>): Promise<T> {
  const client = rawClient(url)
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}
