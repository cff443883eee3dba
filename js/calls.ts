import type { NativeStorage } from '../native.js'
import { encode, isPlainObject } from './encode.js'
import { errorOf } from './errors.js'
import type { Json } from './generated/records.js'
import { operations } from './native-binding.js'
import { record } from './records.js'
import type { Carrier } from './socket.js'
import type { CallOptions } from './types.js'

/** The first argument is a value, not an id's own text. */
const ID_IS_VALUE = 1
const DATA_TAGGED = 2
const OPTIONS_TAGGED = 4
const ID_TAGGED = 8

/** The first character of an error's text. */
const ERROR = 33

/** The engine's numbers of the operations, by name. */
const NUMBERS: ReadonlyMap<string, number> = new Map(operations().map((name, place) => [name, place]))

/** The engine's number of an operation. */
export function numberOf(name: string): number {
  return NUMBERS.get(name) ?? -1
}

/** What an answer's JSON becomes. */
export type Revive = (written: Json) => unknown

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

/** One storage's calls: arguments become text, texts become records and errors. */
export class Calls {
  readonly #native: NativeStorage
  readonly #carrier: Carrier | undefined

  constructor(native: NativeStorage, carrier: Carrier | undefined) {
    this.#native = native
    this.#carrier = carrier
  }

  /** Makes a call about a record that an id names. */
  byId(operation: number, id: unknown, data: unknown, options: unknown, revive: Revive, hasData: boolean): Promise<unknown> {
    if (typeof id === 'string') return this.#call(operation, id, 0, data, options, revive, hasData)
    const { text, tagged } = encode(id)
    return this.#call(operation, text, ID_IS_VALUE | (tagged ? ID_TAGGED : 0), data, options, revive, hasData)
  }

  /** Makes a call about a user, whose name may be any text. */
  byUser(operation: number, user: unknown, data: unknown, options: unknown, revive: Revive, hasData: boolean): Promise<unknown> {
    const { text, tagged } = encode(user)
    return this.#call(operation, text, tagged ? ID_TAGGED : 0, data, options, revive, hasData)
  }

  #call(
    operation: number,
    id: string,
    flags: number,
    data: unknown,
    options: unknown,
    revive: Revive,
    hasData: boolean,
  ): Promise<unknown> {
    const { signal, text: optionsText, tagged } = split(options)
    if (signal?.aborted) return Promise.reject(signal.reason)
    const value = hasData ? encode(data) : undefined
    const bits = flags | (value?.tagged ? DATA_TAGGED : 0) | (tagged ? OPTIONS_TAGGED : 0)
    const answer = this.#native.call(operation, id, value?.text, optionsText, bits)
    if (typeof answer === 'string') return settled(answer, revive)
    return this.#wait(answer, signal, revive)
  }

  #wait(ticket: number, signal: AbortSignal | undefined, revive: Revive): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#carrier?.abandon(ticket)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#carrier?.wait(ticket, (text) => {
        signal?.removeEventListener('abort', abort)
        if (text.charCodeAt(0) === ERROR) reject(errorOf(text, record))
        else resolve(revived(text, revive))
      })
    })
  }
}

function revived(text: string, revive: Revive): unknown {
  return text === '' ? undefined : revive(JSON.parse(text) as Json)
}

function settled(text: string, revive: Revive): Promise<unknown> {
  if (text.charCodeAt(0) === ERROR) return Promise.reject(errorOf(text, record))
  return Promise.resolve(revived(text, revive))
}
