import type { NativeBreaker } from '../native.js'

/** The most results that the engine lets anybody note. */
const MOST = 64
/** What the engine writes leave in advance into: results that may be noted, and for how many ms calls may begin. */
const LEAVE = new Float64Array(2)
/** Of a breaker that never got such leave. */
const NONE = new Float64Array(0)

/**
 * Leave in advance that the engine gave: calls are made without asking it, and those that ended well are noted, each
 * with its time, until it is told of them. Whoever is about to tell or to ask the engine something else of the breaker
 * hands over first.
 */
export class Ahead {
  readonly #native: NativeBreaker
  #times = NONE
  /** With which permit. */
  #permit = -1
  /** Until when calls may begin: 0 for not at all. */
  #until = 0
  #begun = 0
  #noted = 0
  #room = 0

  constructor(native: NativeBreaker) {
    this.#native = native
  }

  /** Whether a call may be made without asking; then it has begun. */
  begin(): boolean {
    const until = this.#until
    if (until !== Infinity && (until === 0 || performance.now() >= until)) return false
    this.#begun++
    return true
  }

  /** Whether there is such leave, as far as is known without a clock. */
  get isGiven(): boolean {
    return this.#until !== 0
  }

  /** Asks for leave to make a call, and, if it is `wanted`, in advance for others. */
  ask(wanted: boolean): number {
    const permit = this.#native.begin(LEAVE)
    this.#permit = permit
    this.#renew(wanted)
    return permit
  }

  /** Notes a call that ended well; false when it is to be told at once. */
  note(permit: number): boolean {
    if (permit !== this.#permit || this.#noted >= this.#room) return false
    this.#times[this.#noted++] = performance.now()
    return true
  }

  /** Whether no more can be noted. */
  get isFull(): boolean {
    return this.#noted >= this.#room
  }

  /** Tells the engine what was noted: the bits of its answer. */
  handOver(): number {
    const [begun, noted] = [this.#begun, this.#noted]
    if (begun === 0 && noted === 0) return 0
    this.#begun = 0
    this.#noted = 0
    const wanted = this.#until !== 0
    const bits = this.#native.noted(this.#permit, begun, this.#times, noted, performance.now(), LEAVE)
    this.#renew(wanted)
    return bits
  }

  /** No call begins without asking any more, and none is noted: what was is still to be handed over. */
  end(): void {
    this.#until = 0
    this.#room = 0
  }

  #renew(wanted: boolean): void {
    const [room = 0, validMs = 0] = LEAVE
    if (!wanted || room === 0) {
      this.#room = 0
      this.#until = 0
      return
    }
    if (this.#times === NONE) this.#times = new Float64Array(MOST)
    this.#room = Math.min(room, MOST)
    this.#until = validMs === Infinity ? Infinity : performance.now() + validMs
  }
}
