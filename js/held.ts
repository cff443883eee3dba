/** Records that are held at the most; half of them are those used last. */
const MOST = 32_768
/** Characters of their texts that are held at the most. */
const MOST_TEXT = 16 * 1_024 * 1_024

/** A record that was given out, with the tag by which the engine knows it again. */
interface Held {
  readonly tag: string
  readonly record: object
  /** The record's dates as they were: a `Date` can't be frozen. */
  readonly dates: readonly Date[]
  readonly times: readonly number[]
  readonly size: number
}

/**
 * Records that were given out, so that a repeated read need not make them again: the engine is told the
 * tag and answers that nothing changed. Bounded in two generations: when the young one is full it becomes
 * the old one, and what was not used meanwhile goes.
 */
export class HeldRecords {
  #young = new Map<string, Held>()
  #old = new Map<string, Held>()
  #size = 0

  /** What is held of a record, if its owner has left the dates as they were. */
  get(id: string): Held | undefined {
    const held = this.#young.get(id) ?? this.#promoted(id)
    if (!held) return undefined
    const { dates, times } = held
    for (let at = 0; at < dates.length; at++) {
      if (dates[at]?.getTime() !== times[at]) return undefined
    }
    return held
  }

  /** Holds a record. Its mark is the size of its text, a blank and its tag. */
  set(id: string, mark: string, record: object): void {
    const end = mark.indexOf(' ')
    const [size, tag] = [Number(mark.slice(0, end)), mark.slice(end + 1)]
    const dates: Date[] = []
    const times: number[] = []
    for (const name in record) {
      const value = (record as Record<string, unknown>)[name]
      if (value instanceof Date) {
        dates.push(value)
        times.push(value.getTime())
      }
    }
    this.#insert(id, { tag, record, dates, times, size })
  }

  #promoted(id: string): Held | undefined {
    const held = this.#old.get(id)
    if (held) this.#insert(id, held)
    return held
  }

  #insert(id: string, held: Held): void {
    if (this.#young.size >= MOST / 2 || this.#size > MOST_TEXT / 2) {
      this.#old = this.#young
      this.#young = new Map()
      this.#size = 0
    }
    this.#young.set(id, held)
    this.#size += held.size
  }
}
