import type { Calls, FeedPage, Follow } from './calls.js'
import { type Tree, tree } from './records.js'

/** Asks for what comes next behind a cursor, or for what comes first. */
export type Source = (cursor: string | undefined) => Follow

const END = { value: undefined, done: true } as const

/**
 * An async iterator over a feed. It is pulled: no more than one page is held, however far the reader is behind.
 * `return()` and an abort free everything at once; so does closing the storage, which rejects with `ClosedError`.
 */
export class Subscription<Item> implements AsyncIterableIterator<Item> {
  readonly #source: Source
  readonly #signal: AbortSignal | undefined
  readonly #holds: boolean
  #page: FeedPage | undefined
  #at = 0
  #asked: Follow | undefined
  /** The end of the last `next` that had to wait. */
  #turn: Promise<unknown> = Promise.resolve()
  #turns = 0
  #cursor: string | undefined
  #ended = false
  #failed = false
  #failure: unknown

  /** @internal */
  constructor(source: Source, signal: AbortSignal | undefined, keepAlive: boolean) {
    this.#source = source
    this.#signal = signal
    this.#holds = keepAlive
    if (signal?.aborted) this.#fail(signal.reason)
    else {
      signal?.addEventListener('abort', this.#abort, { once: true })
      // At once, so that what the caller writes next comes behind the place where this begins.
      this.#ask()
    }
  }

  /** The place behind the last item that was given out: a later subscription goes on from it. */
  get cursor(): string | undefined {
    return this.#cursor
  }

  /** Resolves when the place where it begins is fixed: with `after: 'now'` what is appended later follows. */
  async ready(): Promise<void> {
    if (this.#failed) throw this.#failure
    const asked = this.#cursor === undefined && this.#page === undefined ? this.#asked : undefined
    // Whoever waits for this wants to go on afterwards.
    asked?.hold()
    await asked?.page
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    if (this.#turns === 0 && this.#page !== undefined && !this.#ended)
      return Promise.resolve(this.#give(this.#page))
    this.#turns++
    const turn = this.#turn.then(() => this.#step()).finally(() => this.#turns--)
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  /** Ends the subscription; calls of `next` that wait are told that it is done. */
  return(): Promise<IteratorResult<Item, undefined>> {
    this.#end()
    return Promise.resolve(END)
  }

  throw(error: unknown): Promise<IteratorResult<Item, undefined>> {
    this.#end()
    return Promise.reject(error)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end()
  }

  async #step(): Promise<IteratorResult<Item, undefined>> {
    while (!this.#ended) {
      if (this.#page !== undefined) return this.#give(this.#page)
      const asked = this.#asked ?? this.#ask()
      if (this.#holds) asked.hold()
      try {
        const page = await asked.page
        if (this.#asked === asked) this.#turnTo(page)
      } catch (error) {
        this.#fail(error)
      }
    }
    if (!this.#failed) return END
    this.#failed = false
    throw this.#failure
  }

  #ask(): Follow {
    const asked = this.#source(this.#cursor)
    this.#asked = asked
    // A place alone is taken in at once; a failure waits for whoever asks.
    asked.page.then(
      (page) => page.items.length === 0 && this.#asked === asked && this.#turnTo(page),
      () => undefined,
    )
    return asked
  }

  #turnTo(page: FeedPage): void {
    this.#asked = undefined
    if (page.items.length > 0) {
      this.#page = page
      this.#at = 0
      if (page.start !== undefined) this.#cursor = page.start
    } else {
      this.#cursor = page.cursor
      if (page.done) this.#end()
    }
  }

  #give(page: FeedPage): IteratorResult<Item, undefined> {
    const at = this.#at++
    const isLast = this.#at === page.items.length
    this.#cursor = isLast ? page.cursor : behind(this.#cursor, page.marks[at])
    if (isLast) {
      this.#page = undefined
      if (page.done) this.#end()
    }
    return { value: page.items[at] as Item, done: false }
  }

  readonly #abort = (): void => {
    this.#fail(this.#signal?.reason)
  }

  #fail(error: unknown): void {
    if (this.#ended) return
    this.#failed = true
    this.#failure = error
    this.#end()
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#page = undefined
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#asked?.cancel()
    this.#asked = undefined
  }
}

/** A cursor moved behind an item: a mark is a whole cursor, or, with a dot in front, the part of one that moves. */
function behind(cursor: string | undefined, mark: string | undefined): string | undefined {
  if (mark === undefined || !mark.startsWith('.')) return mark ?? cursor
  const [base = '', ...parts] = (cursor ?? '').split('.')
  const key = mark.slice(1, 3)
  const others = parts.filter((part) => !part.startsWith(key))
  return [base, ...[...others, mark.slice(1)].sort()].join('.')
}

/** What a subscription is made of. */
export interface Following {
  readonly calls: Calls
  readonly operation: number
}

interface Given {
  readonly signal?: AbortSignal
  readonly keepAlive?: boolean
}

/** The signal and what else is the face's own; what is no signal stays, for the engine to refuse. */
export function split(query: unknown): {
  query: unknown
  signal: AbortSignal | undefined
  keepAlive: boolean
} {
  if (typeof query !== 'object' || query === null) return { query, signal: undefined, keepAlive: true }
  try {
    const { signal, ...rest } = query as Given
    const keepAlive = rest.keepAlive !== false
    if (signal === undefined || signal instanceof AbortSignal) return { query: rest, signal, keepAlive }
  } catch {
    // A getter that throws: the engine is told so.
  }
  return { query, signal: undefined, keepAlive: true }
}

/** Follows what a query names. */
export function subscribe<Item>({ calls, operation }: Following, given: unknown): Subscription<Item> {
  const { query, signal, keepAlive } = split(given)
  const source = (cursor: string | undefined) =>
    calls.follow(operation, cursor === undefined ? query : { ...(query as object), after: cursor })
  return new Subscription<Item>(source, signal, keepAlive)
}

/** A snapshot of a session's tree first, then what follows it. */
export function watch<Item>(
  { calls, operation, snapshot }: Following & { readonly snapshot: number },
  sessionId: unknown,
  given: unknown,
): Subscription<Item> {
  const { query, signal, keepAlive } = split(given ?? {})
  const source = (cursor: string | undefined): Follow => {
    if (cursor !== undefined) {
      return calls.follow(operation, { ...(query as object), sessionId, after: cursor })
    }
    const stop = new AbortController()
    const read = calls.byId(snapshot, sessionId, undefined, { signal: stop.signal }, tree, false)
    return { page: read.then(first), cancel: () => stop.abort(), hold: () => undefined }
  }
  return new Subscription<Item>(source, signal, keepAlive)
}

function first(read: unknown): FeedPage {
  const { cursor = '', ...found } = read as Tree
  return { items: [Object.freeze({ type: 'snapshot', ...found })], marks: [cursor], cursor }
}
