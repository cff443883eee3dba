import type { NativeStorage } from '../native.js'
import { answered, ERROR, HELD, NOTHING, type Settle, UNCHANGED } from './answers.js'
import { encode, isPlainObject } from './encode.js'
import { errorWith } from './errors.js'
import type { Json } from './generated/records.js'
import { type Held, HeldAnswers } from './held.js'
import { call, operations } from './native-binding.js'
import { anyRecord, type FeedPage, feedPage, type Revive } from './records.js'
import type { Carrier } from './socket.js'
import { Standing } from './standing.js'
import type { CallOptions } from './types.js'

export type { FeedPage } from './records.js'

/** The first argument is a value, not an id's own text. */
const ID_IS_VALUE = 1
const DATA_TAGGED = 2
const OPTIONS_TAGGED = 4
const ID_TAGGED = 8

/** The engine's numbers of the operations, by name. */
const NUMBERS: ReadonlyMap<string, number> = new Map(operations().map((name, place) => [name, place]))

/** The engine's number of an operation. */
export function numberOf(name: string): number {
  return NUMBERS.get(name) ?? -1
}

interface Split {
  readonly signal: AbortSignal | undefined
  readonly text: string | undefined
  readonly tagged: boolean
}

const NO_OPTIONS: Split = { signal: undefined, text: undefined, tagged: false }

/** The signal is for us, the rest for the engine, which also judges what is no signal and what are no options. */
function split(options: unknown): Split {
  if (options === undefined) return NO_OPTIONS
  let signal: AbortSignal | undefined
  let rest = options
  try {
    // Nothing but a plain object is taken apart: a text or a list could have millions of properties.
    if (typeof options === 'object' && options !== null && isPlainObject(options)) {
      const { signal: given, ...others } = options as CallOptions
      if (given === undefined || given instanceof AbortSignal) {
        signal = given
        rest = others
      }
    }
  } catch {
    // A getter that throws: the engine is told so.
  }
  return { signal, ...encode(rest) }
}

/** A page of a feed to come. */
export interface Follow {
  readonly page: Promise<FeedPage>
  /** Gives it up: the page that comes is empty. */
  readonly cancel: () => void
  /** Keeps the process alive until it comes. */
  readonly hold: () => unknown
}

const EMPTY_PAGE: FeedPage = { items: [], marks: [], cursor: undefined, done: false }

/** One storage's calls: arguments become text, texts become records and errors. */
export class Calls {
  /** The storage's number, which is its own for as long as the carrier holds it. */
  readonly #storage: number
  readonly #carrier: Carrier
  /** In memory: what answers stand on, until the storage is closed. */
  #standing: Standing | undefined
  readonly #held: HeldAnswers

  constructor(native: NativeStorage, carrier: Carrier) {
    this.#storage = native.number
    this.#carrier = carrier
    const numbers = native.standing()
    this.#standing = numbers ? new Standing(numbers) : undefined
    this.#held = new HeldAnswers(this.#standing)
  }

  /** From now on every call is the engine's to refuse. */
  close(): void {
    this.#standing = undefined
  }

  /** Reads a record. Of one that is held only a change comes back; in memory the engine is asked only after a change. */
  get(operation: number, id: unknown, options: unknown, revive: Revive): Promise<unknown> {
    if (typeof id !== 'string') return this.byId(operation, id, undefined, options, revive, false)
    const held = this.#held.get(operation, id)
    if (options === undefined && this.#stands(held)) {
      held.promise ??= Promise.resolve(held.answer)
      return held.promise
    }
    const { signal, text, tagged } = split(options)
    if (signal?.aborted) return Promise.reject(signal.reason)
    const answer = call(this.#storage, operation, id, held?.tag, text, tagged ? OPTIONS_TAGGED : 0)
    const read: Read = (kind, value, mark) => {
      if (kind === UNCHANGED) {
        if (held) this.#standing?.ground(held)
        return held?.answer
      }
      const record = reviveWith(revive, kind, value)
      if (kind === HELD) this.#held.setRecord(operation, id, mark as string, record as object)
      return record
    }
    return typeof answer === 'string' ? this.#settled(answer, read) : this.#wait(answer, signal, read)
  }

  /** Reads the list of the records that an id names. In memory one that is held is given out again while it stands. */
  list(operation: number, id: unknown, options: unknown, revive: Revive): Promise<unknown> {
    if (this.#standing === undefined || typeof id !== 'string') {
      return this.byId(operation, id, undefined, options, revive, false)
    }
    return this.#list(operation, id, options, revive, false)
  }

  /** The same of a user, whose name may be any text. */
  listByUser(operation: number, user: unknown, options: unknown, revive: Revive): Promise<unknown> {
    if (this.#standing === undefined || typeof user !== 'string') {
      return this.byUser(operation, user, undefined, options, revive, false)
    }
    return this.#list(operation, user, options, revive, true)
  }

  #stands(held: Held | undefined): held is Held {
    return held !== undefined && this.#standing?.holds(held) === true
  }

  // Of memory alone, which answers at once. The options' text has no line feed, so no two calls have one key.
  #list(
    operation: number,
    name: string,
    options: unknown,
    revive: Revive,
    isUser: boolean,
  ): Promise<unknown> {
    const { signal, text, tagged } = split(options)
    if (signal?.aborted) return Promise.reject(signal.reason)
    const key = `${operation} ${tagged ? '!' : ''}${text ?? ''}\n${name}`
    const held = this.#held.get(operation, key)
    if (this.#stands(held)) return Promise.resolve((held.answer as object[]).slice())
    const id = isUser ? encode(name) : { text: name, tagged: false }
    const flags = (id.tagged ? ID_TAGGED : 0) | (tagged ? OPTIONS_TAGGED : 0)
    const answer = call(this.#storage, operation, id.text, undefined, text, flags)
    const read: Read = (kind, value) => {
      const list = reviveWith(revive, kind, value) as object[]
      if (typeof answer === 'string') this.#held.setList(operation, key, answer.length, list.slice())
      return list
    }
    return typeof answer === 'string' ? this.#settled(answer, read) : this.#wait(answer, signal, read)
  }

  /** Makes a call about a record that an id names. `current` makes the record that a conflict carries. */
  byId(
    operation: number,
    id: unknown,
    data: unknown,
    options: unknown,
    revive: Revive,
    hasData: boolean,
    current: Revive = anyRecord,
  ): Promise<unknown> {
    if (typeof id === 'string') return this.#call(operation, id, 0, data, options, revive, hasData, current)
    const { text, tagged } = encode(id)
    const flags = ID_IS_VALUE | (tagged ? ID_TAGGED : 0)
    return this.#call(operation, text, flags, data, options, revive, hasData, current)
  }

  /** Makes a call about a user, whose name may be any text. */
  byUser(
    operation: number,
    user: unknown,
    data: unknown,
    options: unknown,
    revive: Revive,
    hasData: boolean,
  ): Promise<unknown> {
    const { text, tagged } = encode(user)
    return this.#call(operation, text, tagged ? ID_TAGGED : 0, data, options, revive, hasData)
  }

  /** Waits for the next page of a feed, however long that takes. */
  follow(operation: number, query: unknown): Follow {
    const { text, tagged } = encode(query)
    const answer = call(this.#storage, operation, '', text, undefined, tagged ? DATA_TAGGED : 0)
    const read: Read = (_, value) => {
      const page = feedPage(value)
      if (page.items.some(isGap)) this.#carrier.tell(GAP)
      return page
    }
    if (typeof answer === 'string') {
      const page = this.#settled(answer, read) as Promise<FeedPage>
      return { page, cancel: () => undefined, hold: () => undefined }
    }
    let waits = true
    let cancel = (): void => undefined
    const page = new Promise<FeedPage>((resolve, reject) => {
      const settle: Settle = (kind, value) => {
        waits = false
        if (kind === ERROR) reject(errorWith(value, anyRecord))
        else resolve(read(kind, value) as FeedPage)
      }
      this.#carrier.wait(answer, settle, false)
      // Another call may have the ticket afterwards.
      cancel = () => {
        if (!waits) return
        waits = false
        this.#carrier.abandon(answer)
        resolve(EMPTY_PAGE)
      }
    })
    return { page, cancel: () => cancel(), hold: () => waits && this.#carrier.hold(answer) }
  }

  #call(
    operation: number,
    id: string,
    flags: number,
    data: unknown,
    options: unknown,
    revive: Revive,
    hasData: boolean,
    current: Revive = anyRecord,
  ): Promise<unknown> {
    const { signal, text: optionsText, tagged } = split(options)
    if (signal?.aborted) return Promise.reject(signal.reason)
    const value = hasData ? encode(data) : undefined
    const bits = flags | (value?.tagged ? DATA_TAGGED : 0) | (tagged ? OPTIONS_TAGGED : 0)
    const answer = call(this.#storage, operation, id, value?.text, optionsText, bits)
    const read: Read = (kind, value) => reviveWith(revive, kind, value)
    if (typeof answer === 'string') return this.#settled(answer, read, current)
    return this.#wait(answer, signal, read, current)
  }

  #settled(text: string, read: Read, current: Revive = anyRecord): Promise<unknown> {
    this.#carrier.stir()
    return settled(text, read, current)
  }

  #wait(
    ticket: number,
    signal: AbortSignal | undefined,
    read: Read,
    current: Revive = anyRecord,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const settle: Settle = (kind, value, mark) => {
        if (kind === ERROR) reject(errorWith(value, current))
        else resolve(read(kind, value, mark))
      }
      if (!signal) {
        this.#carrier.wait(ticket, settle)
        return
      }
      const abort = () => {
        this.#carrier.abandon(ticket)
        reject(signal.reason)
      }
      signal.addEventListener('abort', abort, { once: true })
      this.#carrier.wait(ticket, (kind, value, mark) => {
        signal.removeEventListener('abort', abort)
        settle(kind, value, mark)
      })
    })
  }
}

const isGap = (item: unknown): boolean => (item as { type: string }).type === 'gap'
const GAP = { type: 'gap', reason: 'a part of a feed was trimmed before it was read' }

/** Makes an answer of what a call was told, which is no error. */
type Read = (kind: number, value: Json, mark?: string) => unknown

const reviveWith = (revive: Revive, kind: number, value: Json): unknown =>
  kind === NOTHING ? undefined : revive(value)

function settled(text: string, read: Read, current: Revive): Promise<unknown> {
  return answered(text, (kind, value, mark) =>
    kind === ERROR ? Promise.reject(errorWith(value, current)) : Promise.resolve(read(kind, value, mark)),
  )
}
