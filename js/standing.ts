import type { Held } from './held.js'

/** The time by the same clock as the engine's, also where a test has put another `Date` in its place. */
const { now } = Date

/**
 * What answers of memory stand on, read where the engine writes it: for each partition how often it was written to, then for
 * each when the first of its keys goes by itself, then the partition that was looked at last. An answer is still the present one
 * while its partition was not written to and nothing in it has come to its end. All else happens inside calls, on this thread.
 */
export class Standing {
  readonly #numbers: Float64Array
  readonly #partitions: number

  constructor(numbers: Float64Array) {
    this.#numbers = numbers
    this.#partitions = (numbers.length - 1) / 2
  }

  /** Notes what the answer stands on that the engine just gave. */
  ground(held: Held): void {
    const numbers = this.#numbers
    const partition = numbers[numbers.length - 1] as number
    held.partition = partition
    held.written = numbers[partition] as number
    held.until = numbers[this.#partitions + partition] as number
  }

  /** Whether the engine would give the same answer. */
  holds({ partition, written, until }: Held): boolean {
    return this.#numbers[partition] === written && (until === Number.POSITIVE_INFINITY || now() < until)
  }
}
