import { type Calls, numberOf } from './calls.js'
import type {
  CreateGroupOptions,
  StreamAddOptions,
  StreamClaimOptions,
  StreamConsumeOptions,
  StreamDeadLetter,
  StreamDeadOptions,
  StreamEntry,
  StreamFields,
  StreamGroup,
  StreamHandlerOptions,
  StreamMessage,
  StreamPending,
  StreamPendingOptions,
  StreamReadGroupOptions,
  StreamReadOptions,
} from './stream-types.js'
import type { CallOptions } from './types.js'
import { asIs, ask, bytesOf, mark } from './values.js'

const ADD = numberOf('streams.add')
const READ = numberOf('streams.read')
const LENGTH = numberOf('streams.length')
const DELETE = numberOf('streams.delete')
const CREATE_GROUP = numberOf('streams.createGroup')
const DELETE_GROUP = numberOf('streams.deleteGroup')
const GROUPS = numberOf('streams.groups')
const READ_GROUP = numberOf('streams.readGroup')
const ACK = numberOf('streams.ack')
const PENDING = numberOf('streams.pending')
const CLAIM = numberOf('streams.claim')
const TAKE = numberOf('streams.take')
const LEAVE = numberOf('streams.leave')
const DEAD_LETTERS = numberOf('streams.deadLetters')

type Texts = Readonly<Record<string, string>>
type Handler<F extends StreamFields> = (message: StreamMessage<F>) => unknown

/** What taking answers. */
interface Taken {
  readonly items: readonly { id: string; deliveries: number; fields: StreamFields }[]
  /** When it was looked for what others left behind: for the engine's next look. */
  readonly cursor: string | null
}

/** Who consumes what. */
interface Consumer {
  readonly stream: string
  readonly group: string
  readonly consumer: string
}

/** A message in somebody's hands. */
class Held<F extends StreamFields> implements StreamMessage<F> {
  readonly id: string
  readonly fields: F
  readonly deliveries: number
  readonly #ack: (id: string, options?: CallOptions) => Promise<number>
  #acked = false

  constructor(taken: Taken['items'][number], ack: (id: string, options?: CallOptions) => Promise<number>) {
    this.id = taken.id
    this.fields = taken.fields as F
    this.deliveries = taken.deliveries
    this.#ack = ack
  }

  get acked(): boolean {
    return this.#acked
  }

  async ack(options?: CallOptions): Promise<boolean> {
    this.#acked = true
    return (await this.#ack(this.id, options)) === 1
  }
}

function entriesOf(fields: unknown): { fields: unknown; values: unknown } {
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return { fields, values: [] }
  const entries = Object.entries(fields)
  return { fields: entries.map(([name]) => name), values: entries.map(([, value]) => mark(value)) }
}

/**
 * Streams by name: entries of named values in order, and groups of consumers that share them. On Redis a stream is the
 * plain stream `<prefix>stream:<name>`, which other programs can read and write.
 */
export class Streams {
  readonly #calls: Calls

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls
  }

  #ask(operation: number, args: object, options: unknown): Promise<never> {
    return ask(this.#calls, operation, args, options, asIs) as Promise<never>
  }

  #entries(operation: number, args: object, options: unknown): Promise<never> {
    return ask(this.#calls, operation, args, options, bytesOf) as Promise<never>
  }

  /**
   * Puts an entry at the end; gives its id. One round trip. While the server is away the entry is kept, unless it has an id of
   * your own, and the id is provisional.
   *
   * @throws ConflictError for an id of your own that is not behind the latest one
   */
  add(stream: string, fields: StreamFields, options?: StreamAddOptions): Promise<string> {
    return this.#ask(ADD, { stream, ...entriesOf(fields) }, options)
  }

  /**
   * Entries behind an id, in order. With `block` it waits for the first of them; an empty list when none came in time. It
   * takes nothing away, so giving it up loses nothing.
   */
  read<F extends StreamFields = Texts>(
    stream: string,
    options?: StreamReadOptions,
  ): Promise<StreamEntry<F>[]> {
    return this.#entries(READ, { stream }, options)
  }

  /** How many entries there are. One round trip. */
  length(stream: string, options?: CallOptions): Promise<number> {
    return this.#ask(LENGTH, { stream }, options)
  }

  /** Removes a stream with its groups and dead letters; whether there was one. One round trip. */
  delete(stream: string, options?: CallOptions): Promise<boolean> {
    return this.#ask(DELETE, { stream }, options)
  }

  /** Makes a group, and the stream if need be; `false` when there is such a group. One round trip. */
  createGroup(stream: string, group: string, options?: CreateGroupOptions): Promise<boolean> {
    return this.#ask(CREATE_GROUP, { stream, group }, options)
  }

  /** Removes a group with all that it remembers; whether there was one. One round trip. */
  deleteGroup(stream: string, group: string, options?: CallOptions): Promise<boolean> {
    return this.#ask(DELETE_GROUP, { stream, group }, options)
  }

  /** The groups of a stream by name. One round trip. */
  groups(stream: string, options?: CallOptions): Promise<StreamGroup[]> {
    return this.#ask(GROUPS, { stream }, options)
  }

  /**
   * Entries that no consumer of the group has got; they are pending until they are acknowledged. With `block` it waits for
   * the first of them.
   *
   * @throws NotFoundError when there is no such group
   */
  readGroup<F extends StreamFields = Texts>(
    stream: string,
    group: string,
    consumer: string,
    options?: StreamReadGroupOptions,
  ): Promise<StreamEntry<F>[]> {
    return this.#entries(READ_GROUP, { stream, group, consumer }, options)
  }

  /** Says that a group is done with entries; how many of them were pending. One round trip. */
  ack(
    stream: string,
    group: string,
    ids: string | readonly string[],
    options?: CallOptions,
  ): Promise<number> {
    return this.#ask(ACK, { stream, group, ids: typeof ids === 'string' ? [ids] : ids }, options)
  }

  /** What a group was given and did not acknowledge, by id. One round trip. */
  pending(stream: string, group: string, options?: StreamPendingOptions): Promise<StreamPending[]> {
    return this.#ask(PENDING, { stream, group }, options)
  }

  /** Takes pending entries over; gives those that it got. One round trip. */
  claim<F extends StreamFields = Texts>(
    stream: string,
    group: string,
    consumer: string,
    ids: string | readonly string[],
    options?: StreamClaimOptions,
  ): Promise<StreamEntry<F>[]> {
    const all = typeof ids === 'string' ? [ids] : ids
    return this.#entries(CLAIM, { stream, group, consumer, ids: all }, options)
  }

  /** The dead letters of a stream, the oldest first: about 10,000 are kept. One round trip. */
  deadLetters<F extends StreamFields = Texts>(
    stream: string,
    options?: StreamDeadOptions,
  ): Promise<StreamDeadLetter<F>[]> {
    return this.#entries(DEAD_LETTERS, { stream }, options)
  }

  /**
   * Gives every entry of a stream to one consumer of the group, at least once: to `handler`, or to a loop
   * (`for await (const message of storage.streams.consume('mails', 'senders'))`).
   *
   * A message is acknowledged when the function has ended, or the next one is asked for. One whose function threw, whose
   * loop was left or whose process died comes again after `claimAfterSeconds`, to whoever is there, and is a dead letter
   * after `maxDeliveries` times. A group that does not exist begins at the start of the stream; one that was lost is made
   * anew at the last id up to which everything was acknowledged.
   *
   * With a function it resolves when `signal` aborts and what was begun has ended. A loop throws the signal's reason.
   */
  consume<F extends StreamFields = Texts>(
    stream: string,
    group: string,
    options?: StreamConsumeOptions,
  ): AsyncGenerator<StreamMessage<F>, void, void>
  consume<F extends StreamFields = Texts>(
    stream: string,
    group: string,
    handler: Handler<F>,
    options?: StreamHandlerOptions<F>,
  ): Promise<void>
  consume<F extends StreamFields>(
    stream: string,
    group: string,
    given?: Handler<F> | StreamConsumeOptions,
    options?: StreamHandlerOptions<F>,
  ): AsyncGenerator<StreamMessage<F>, void, void> | Promise<void> {
    if (typeof given === 'function') return this.#handle(stream, group, given, options)
    return this.#loop(stream, group, given)
  }

  async *#loop<F extends StreamFields>(
    stream: string,
    group: string,
    options: StreamConsumeOptions | undefined,
  ): AsyncGenerator<StreamMessage<F>, void, void> {
    const who = consumerOf(stream, group, options)
    const take = this.#taking<F>(who, options)
    try {
      for (;;) {
        for (const message of await take(1)) {
          yield message
          if (!message.acked) await message.ack()
        }
      }
    } finally {
      await this.#leave(who)
    }
  }

  async #handle<F extends StreamFields>(
    stream: string,
    group: string,
    handler: Handler<F>,
    options: StreamHandlerOptions<F> | undefined,
  ): Promise<void> {
    const { onError, ...rest } = options ?? {}
    const most = rest.concurrency ?? 1
    const who = consumerOf(stream, group, rest)
    const take = this.#taking<F>(who, rest)
    const running = new Set<Promise<void>>()
    const run = async (message: Held<F>): Promise<void> => {
      try {
        await handler(message)
        if (!message.acked) await message.ack()
      } catch (error) {
        onError?.(error, message)
      }
    }
    try {
      while (!rest.signal?.aborted) {
        if (running.size > 0 && running.size >= most) {
          await Promise.race(running)
          continue
        }
        for (const message of await take(most - running.size)) {
          const turn = run(message).finally(() => running.delete(turn))
          running.add(turn)
        }
      }
    } catch (error) {
      if (!rest.signal?.aborted) throw error
    } finally {
      await Promise.allSettled(running)
      await this.#leave(who)
    }
  }

  /** The next messages of a consumer, or a wait for them. */
  #taking<F extends StreamFields>(who: Consumer, options: object | undefined) {
    const { consumer: _, ...rest } = (options ?? {}) as StreamConsumeOptions
    const ack = (id: string, options?: CallOptions) => this.ack(who.stream, who.group, id, options)
    let cursor: string | undefined
    return async (limit: number): Promise<Held<F>[]> => {
      const given = { ...rest, limit, ...(cursor === undefined ? {} : { cursor }) }
      const taken: Taken = await this.#entries(TAKE, who, given)
      cursor = taken.cursor ?? undefined
      return taken.items.map((item) => new Held<F>(item, ack))
    }
  }

  /** Forgets a consumer that has nothing pending. */
  #leave(who: Consumer): Promise<unknown> {
    return this.#ask(LEAVE, who, undefined).catch(() => false)
  }
}

function consumerOf(
  stream: string,
  group: string,
  options: { readonly consumer?: string } | undefined,
): Consumer {
  return { stream, group, consumer: options?.consumer ?? `consumer-${crypto.randomUUID()}` }
}
