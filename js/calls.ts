import type { NativeStorage } from '../native.js'
import { encode, isPlainObject } from './encode.js'
import { errorOf } from './errors.js'
import type { Json } from './generated/records.js'
import { HeldRecords } from './held.js'
import { operations } from './native-binding.js'
import { anyRecord, type FeedPage, feedPage, type Revive } from './records.js'
import type { Carrier } from './socket.js'
import type { CallOptions } from './types.js'

export type { FeedPage } from './records.js'

/** The first argument is a value, not an id's own text. */
const ID_IS_VALUE = 1
const DATA_TAGGED = 2
const OPTIONS_TAGGED = 4
const ID_TAGGED = 8

/** The first character of an error's text. */
const ERROR = 33
/** The last digit: a record's text begins with one. */
const NINE = 57
/** The digit of a record that is worth holding. */
const ONE = 49
/** The answer for a record that is held as it is. */
const UNCHANGED = '='

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

const NOTHING: FeedPage = { items: [], marks: [], cursor: undefined, done: false }

/** One storage's calls: arguments become text, texts become records and errors. */
export class Calls {
  readonly #native: NativeStorage
  readonly #carrier: Carrier
  readonly #held = new HeldRecords()

  constructor(native: NativeStorage, carrier: Carrier) {
    this.#native = native
    this.#carrier = carrier
  }

  /** Reads a record. Of one that is held only a change comes back. */
  get(operation: number, id: unknown, options: unknown, revive: Revive): Promise<unknown> {
    if (typeof id !== 'string') return this.byId(operation, id, undefined, options, revive, false)
    const { signal, text, tagged } = split(options)
    if (signal?.aborted) return Promise.reject(signal.reason)
    const held = this.#held.get(id)
    const answer = this.#native.call(operation, id, held?.tag, text, tagged ? OPTIONS_TAGGED : 0)
    const read: Read = (written) =>
      written === undefined || written === UNCHANGED ? held?.record : this.#read(written, revive, id)
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
    const answer = this.#native.call(operation, '', text, undefined, tagged ? DATA_TAGGED : 0)
    const read: Read = (written) => {
      const page = feedPage(JSON.parse(written ?? '') as Json)
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
      const settle = (written: string | undefined): void => {
        waits = false
        if (written?.charCodeAt(0) === ERROR) reject(errorOf(written, anyRecord))
        else resolve(read(written) as FeedPage)
      }
      this.#carrier.wait(answer, settle, false)
      // Another call may have the ticket afterwards.
      cancel = () => {
        if (!waits) return
        waits = false
        this.#carrier.abandon(answer)
        resolve(NOTHING)
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
    const answer = this.#native.call(operation, id, value?.text, optionsText, bits)
    const read: Read = (written) => this.#read(written as string, revive, undefined)
    if (typeof answer === 'string') return this.#settled(answer, read, current)
    return this.#wait(answer, signal, read, current)
  }

  /** What an answer's text says. A record's begins with its tag. */
  #read(text: string, revive: Revive, id: string | undefined): unknown {
    if (text === '') return undefined
    const first = text.charCodeAt(0)
    // A tag begins with a digit; lists, pages, events and null do not.
    if (first > NINE) return revive(JSON.parse(text) as Json)
    const end = text.indexOf('\n')
    const record = revive(JSON.parse(text.slice(end + 1)) as Json) as object
    if (first === ONE && id !== undefined) {
      this.#held.set(id, text.slice(0, end), record, text.length)
    }
    return record
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
      const settle = (text: string | undefined) => {
        if (text?.charCodeAt(0) === ERROR) reject(errorOf(text, current))
        else resolve(read(text))
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
      this.#carrier.wait(ticket, (text) => {
        signal.removeEventListener('abort', abort)
        settle(text)
      })
    })
  }
}

const isGap = (item: unknown): boolean => (item as { type: string }).type === 'gap'
const GAP = { type: 'gap', reason: 'a part of a feed was trimmed before it was read' }

/** Makes an answer of a call's text, which is no error; there is none when nothing has changed. */
type Read = (text: string | undefined) => unknown

function settled(text: string, read: Read, current: Revive): Promise<unknown> {
  if (text.charCodeAt(0) === ERROR) return Promise.reject(errorOf(text, current))
  return Promise.resolve(read(text))
}
