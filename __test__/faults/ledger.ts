import { expect } from 'vitest'
import { type IStorage, StorageError } from '../support/flowkeep.js'
import { rawClient } from '../support/redis.js'
import { measured } from './stage.js'

/** What callers were told of one write. */
export type Fate = 'ok' | 'pending' | 'not-applied' | 'unknown'

export interface Write {
  readonly n: number
  readonly fate: Fate
  readonly ms: number
}

/** One writer's writes, in order: each carries a number that no other write has. */
interface Book {
  readonly sessionId: string
  readonly writes: Write[]
}

/** How long a call may take beyond its deadline, in ms. */
const SLACK_MS = 100
/** How often this process looks whether it is let run, in ms. */
const LOOK_MS = 5

/** Writers that write one after the other, each to a session of its own, and what they were told. */
export class Ledger {
  readonly books: Book[] = []
  #n = 0
  #stopped = false
  /** The longest time for which this process was not let run. */
  #heldUpMs = 0

  constructor(
    readonly storage: IStorage,
    readonly deadlineMs = 2_000,
  ) {}

  /** So many sessions to write to. */
  async open(writers: number): Promise<void> {
    for (let at = 0; at < writers; at++) {
      const { sessionId } = await this.storage.createSession(`writer-${at}`, {})
      this.books.push({ sessionId, writes: [] })
    }
  }

  stop(): void {
    this.#stopped = true
  }

  get accepted(): number {
    return this.books
      .flatMap(({ writes }) => writes)
      .filter(({ fate }) => fate === 'ok' || fate === 'pending').length
  }

  /** Every writer writes so many times, or until it is stopped. */
  async write(each: number, pauseMs = 0): Promise<void> {
    this.#stopped = false
    let last = performance.now()
    const look = setInterval(() => {
      const now = performance.now()
      this.#heldUpMs = Math.max(this.#heldUpMs, now - last - LOOK_MS)
      last = now
    }, LOOK_MS)
    await this.#write(each, pauseMs).finally(() => clearInterval(look))
  }

  async #write(each: number, pauseMs: number): Promise<void> {
    await Promise.all(
      this.books.map(async (book) => {
        for (let done = 0; done < each && !this.#stopped; done++) {
          await this.#one(book)
          if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
        }
      }),
    )
  }

  async #one(book: Book): Promise<void> {
    const n = ++this.#n
    const from = performance.now()
    let fate: Fate
    try {
      const event = { type: 'custom:n', data: { n } } as const
      const made = await this.storage.appendEvent(book.sessionId, event, { timeoutMs: this.deadlineMs })
      fate = 'pending' in made ? 'pending' : 'ok'
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      fate = error.outcome === 'unknown' ? 'unknown' : 'not-applied'
    }
    book.writes.push({ n, fate, ms: performance.now() - from })
  }

  /** The longest time that a call took, in ms. */
  get longestMs(): number {
    return Math.max(0, ...this.books.flatMap(({ writes }) => writes.map(({ ms }) => ms)))
  }

  /**
   * Every call came to its end by its deadline and 100 ms. What a busy machine held this process up for, once when the time was
   * over and once when the answer came, is no time that the library took.
   */
  expectSettledInTime(): void {
    measured('settled', { longest: this.longestMs, deadline: this.deadlineMs, 'held up': this.#heldUpMs })
    expect(this.longestMs).toBeLessThan(this.deadlineMs + SLACK_MS + 2 * this.#heldUpMs)
  }

  /**
   * Looks at what the server holds, by a client that owes nothing to the library: what was accepted is there once and in
   * order, what was not applied is not there, and what nobody knows is there once at the most.
   */
  async expectExact(url: string, prefix: string): Promise<void> {
    for (const { sessionId, writes } of this.books) await expectStored(url, prefix, sessionId, writes)
  }
}

/**
 * What the server holds of one session, against what its writers were told. What nobody was told of, since its process died,
 * counts as unknown.
 */
export async function expectStored(
  url: string,
  prefix: string,
  sessionId: string,
  writes: readonly Write[],
): Promise<void> {
  const client = rawClient(url)
  const stored = await numbersOf(client, prefix, sessionId).finally(() => client.disconnect())
  const sure = writes.filter(({ fate }) => fate === 'ok' || fate === 'pending').map(({ n }) => n)
  const known = new Set(sure)
  const refused = new Set(writes.filter(({ fate }) => fate === 'not-applied').map(({ n }) => n))
  expect(new Set(stored).size, `nothing twice in ${sessionId}`).toBe(stored.length)
  expect(
    stored.filter((n) => refused.has(n)),
    `nothing that was refused in ${sessionId}`,
  ).toEqual([])
  expect(
    stored.filter((n) => known.has(n)).join(),
    `nothing lost, nothing out of order in ${sessionId}`,
  ).toBe(sure.join())
}

/** The numbers in a session's log, in order, as they lie in the server. */
async function numbersOf(
  client: ReturnType<typeof rawClient>,
  prefix: string,
  id: string,
): Promise<number[]> {
  const tree = id.slice('ses_'.length)
  const [keys] = [await client.keys(`${prefix}v1:{*}:t:${tree}`)]
  const fields = await client.hgetall(keys[0] ?? '')
  const numbers: number[] = []
  for (let position = 1; position <= Number(fields['#'] ?? 0); position++) {
    const text = fields[`e${position}`] ?? ''
    // The mark of the write stands in front: U+0001 and eight characters.
    const event = JSON.parse(text.startsWith('\u0001') ? text.slice(9) : text) as {
      type: string
      data: { n: number }
    }
    if (event.type === 'custom:n') numbers.push(event.data.n)
  }
  return numbers
}
