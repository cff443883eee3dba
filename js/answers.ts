import type { Json } from './generated/records.js'

/** What an answer is. The engine has the same numbers: `src/batch.rs`. */
export const VALUE = 0
/** A record to be held, with the mark by which the engine knows it again: its size, a blank and its tag. */
export const HELD = 1
/** The record that is held. */
export const UNCHANGED = 2
export const ERROR = 3
/** Nothing at all. */
export const NOTHING = 4

/** Takes a call's answer: what it is, what it says, and the mark of a record that is to be held. */
export type Settle = (kind: number, value: Json, mark?: string) => void

const BANG = 33
/** A record's text begins with the first digit of its tag; lists, pages, events and null do not. */
const [ZERO, ONE, NINE] = [48, 49, 57]

/** What a call is told whose answer is no JSON: a record in it was forged, with a proof that the engine believes. */
const UNREADABLE: Json = {
  code: 'STORAGE_CORRUPT',
  message:
    'an answer can’t be read: a stored record, this one or one that was read with it, is not what was written',
  operation: '',
  retryable: false,
  attempts: 1,
  outcome: 'unknown',
}

/** The value of a text, which JSON never makes `undefined`: that is a text that can't be read. */
function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

/** Reads the answer of a call that did not have to wait: a text of its own. */
export function answered<T>(text: string, take: (kind: number, value: Json, mark?: string) => T): T {
  if (text === '') return take(NOTHING, null)
  if (text === '=') return take(UNCHANGED, null)
  const first = text.charCodeAt(0)
  if (first === BANG) return take(ERROR, JSON.parse(text.slice(1)) as Json)
  const isRecord = first >= ZERO && first <= NINE
  const end = isRecord ? text.indexOf('\n') : -1
  const record = text.slice(end + 1)
  const value = parsed(record)
  if (value === undefined) return take(ERROR, UNREADABLE)
  if (first !== ONE) return take(VALUE, value)
  return take(HELD, value, `${record.length} ${text.slice(0, end)}`)
}

const KIND_AT = 29
const TICKET = 2 ** KIND_AT - 1
const MORE = 0x8000_0000
/** Calls that the list of the finished has room for at first. */
const ROOM = 1_024

/** What the engine has for us. */
interface Finishing {
  finished: (tickets: Uint32Array, most: number) => string
}

/** Takes the answers of finished calls from the engine, many at once. */
export class Answers {
  readonly #native: Finishing
  #tickets = new Uint32Array(ROOM)

  constructor(native: Finishing) {
    this.#native = native
  }

  /**
   * Settles what has finished, `most` calls at the most; true if there are more. `claim` gives who waits for a ticket, and
   * forgets it.
   */
  settle(
    most: number,
    claim: (ticket: number) => Settle | undefined,
    claimed: (count: number) => void,
  ): boolean {
    if (this.#tickets.length <= most) this.#tickets = new Uint32Array(2 * most)
    const tickets = this.#tickets
    const text = this.#native.finished(tickets, most)
    const [first = 0] = tickets
    const count = first % MORE
    if (count === 0) return false
    const values = text === '' ? [] : (parsed(text) as Json[] | undefined)
    // Whoever is told may make calls at once, whose tickets may be some of these: all are let go of first.
    const settles: (Settle | undefined)[] = []
    const kinds: number[] = []
    for (let at = 1; at <= count; at++) {
      const ticket = tickets[at] as number
      settles.push(claim(ticket & TICKET))
      kinds.push(ticket >>> KIND_AT)
    }
    claimed(count)
    let next = 0
    for (let at = 0; at < count; at++) {
      const [kind, settle] = [kinds[at] as number, settles[at]]
      if (kind === UNCHANGED || kind === NOTHING) settle?.(kind, null)
      else if (values === undefined) settle?.(ERROR, UNREADABLE)
      else if (kind !== HELD) settle?.(kind, values[next++] as Json)
      else {
        const mark = values[next++] as string
        settle?.(kind, values[next++] as Json, mark)
      }
    }
    return first >= MORE
  }
}
