// The switch "simulate outage": what the storage does while its server is away, and what came of it afterwards.

/** @typedef {{ on: boolean, kept: number, conflicts: number, recovered: { writes: number, ms: number } | null }} Told */

export class Outage {
  /** @type {import('flowkeep').Storage} */ #storage
  #on = false
  #kept = 0
  #since = 0
  /** @type {Told['recovered']} */ #recovered = null

  /** @param {import('flowkeep').Storage} storage one that was opened with the chaos layer */
  constructor(storage) {
    this.#storage = storage
    storage.on('degraded', () => {
      this.#recovered = null
    })
    storage.on('recovering', ({ at, journal }) => {
      this.#since = at.getTime()
      this.#kept = journal
    })
    storage.on('healthy', ({ at }) => {
      if (this.#kept > 0) this.#recovered = { writes: this.#kept, ms: at.getTime() - this.#since }
      this.#kept = 0
    })
  }

  /** Begins or ends it. */
  turn(/** @type {boolean} */ on) {
    this.#on = on
    this.#storage.simulateOutage(on)
  }

  /** @returns {Promise<Told>} */
  async look() {
    const { journal, conflicts } = await this.#storage.status()
    return {
      on: this.#on,
      kept: journal?.entries ?? 0,
      conflicts: conflicts ?? 0,
      recovered: this.#recovered,
    }
  }
}
