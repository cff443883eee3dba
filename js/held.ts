import type { Standing } from './standing.js'

/** Answers that are held at the most; half of them are those used last. */
const MOST = 32_768
/** Characters of their texts that are held at the most; an answer of more than half of that is not held at all. */
const MOST_TEXT = 16 * 1_024 * 1_024

/** An answer that was given out: a record, or a list of records. */
export interface Held {
  /** The call that it answers. */
  readonly operation: number
  /** By which the engine knows a record again. */
  readonly tag: string
  readonly answer: object
  /** The dates in it as they were: a `Date` can't be frozen. */
  readonly dates: readonly Date[]
  readonly times: readonly number[]
  readonly size: number
  /** A promise of the answer, once it was given out a second time: the same one serves everybody. */
  promise: Promise<object> | undefined
  /** What it stands on in memory: see `Standing`. */
  partition: number
  written: number
  until: number
}

function gatherDates(record: object, dates: Date[], times: number[]): void {
  for (const name in record) {
    const value = (record as Record<string, unknown>)[name]
    if (value instanceof Date) {
      dates.push(value)
      times.push(value.getTime())
    }
  }
}

/**
 * Answers that were given out, so that a repeated read need not make them again: the engine is told a record's
 * tag and answers that nothing changed, or, in memory, need not even be asked. Bounded in two generations: when the young one
 * is full it becomes the old one, and what was not used meanwhile goes.
 */
export class HeldAnswers {
  readonly #standing: Standing | undefined
  #young = new Map<string, Held>()
  #old = new Map<string, Held>()
  #size = 0

  constructor(standing: Standing | undefined) {
    this.#standing = standing
  }

  /** What is held for a call, if its owner has left the dates as they were. */
  get(operation: number, key: string): Held | undefined {
    const held = this.#young.get(key) ?? this.#promoted(key)
    if (held === undefined || held.operation !== operation) return undefined
    const { dates, times } = held
    for (let at = 0; at < dates.length; at++) {
      if (dates[at]?.getTime() !== times[at]) return undefined
    }
    return held
  }

  /** Holds a record that was just answered. Its mark is the size of its text, a blank and its tag. */
  setRecord(operation: number, id: string, mark: string, record: object): void {
    const end = mark.indexOf(' ')
    const [dates, times]: [Date[], number[]] = [[], []]
    gatherDates(record, dates, times)
    const rest = { answer: record, dates, times, size: Number(mark.slice(0, end)) }
    this.#hold(operation, id, { tag: mark.slice(end + 1), ...rest })
  }

  /** Holds a list of records that was just answered by a text of this size. */
  setList(operation: number, key: string, size: number, list: readonly object[]): void {
    const [dates, times]: [Date[], number[]] = [[], []]
    for (const record of list) gatherDates(record, dates, times)
    this.#hold(operation, key, { tag: '', answer: list, dates, times, size })
  }

  #hold(
    operation: number,
    key: string,
    rest: Pick<Held, 'tag' | 'answer' | 'dates' | 'times' | 'size'>,
  ): void {
    if (rest.size > MOST_TEXT / 2) return
    const held = { operation, ...rest, promise: undefined, partition: -1, written: 0, until: 0 }
    this.#standing?.ground(held)
    this.#insert(key, held)
  }

  #promoted(key: string): Held | undefined {
    const held = this.#old.get(key)
    if (held) this.#insert(key, held)
    return held
  }

  #insert(key: string, held: Held): void {
    if (this.#young.size >= MOST / 2 || this.#size > MOST_TEXT / 2) {
      this.#old = this.#young
      this.#young = new Map()
      this.#size = 0
    }
    this.#young.set(key, held)
    this.#size += held.size
  }
}
