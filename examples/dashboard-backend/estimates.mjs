// What the backend asks of another service, through a circuit breaker: how long a chain will take.
import { CircuitOpenError } from 'flowkeep'

/** How often it is asked. */
const EVERY_MS = 400
/** How long an answer may take at the most. */
const PATIENCE_MS = 2000
const STEPS = 8

/** Opens at three failures in a row, or when half of the last eight calls were slow; tries again after 3 s. */
const CONFIG = /** @type {const} */ ({
  strategy: ['consecutive_failures', 'slow_calls'],
  failureThreshold: 3,
  slowCallSeconds: 0.5,
  slowCallPercentage: 50,
  minimumThroughput: 4,
  samplingCalls: 8,
  openSeconds: 3,
  successThreshold: 2,
})

export class Estimates {
  /** @type {import('flowkeep').Breaker} */ breaker
  /** What came of the latest call. */
  latest = ''
  /** How the service was told to answer. */
  mode = 'works'
  #url
  #end = new AbortController()
  /** @type {Promise<void> | undefined} */ #asking
  /** @type {NodeJS.Timeout | undefined} */ #timer

  constructor(/** @type {import('flowkeep').Breakers} */ breakers, /** @type {string} */ url) {
    this.breaker = breakers.get('estimates', CONFIG)
    this.#url = url
  }

  /** One call: what the service says, or why it was not asked. */
  async ask(steps = STEPS) {
    try {
      const seconds = await this.breaker.call(({ signal }) => this.#fetch(steps, signal), {
        signal: this.#end.signal,
        timeoutMs: PATIENCE_MS,
      })
      this.latest = `${steps} steps take about ${seconds} s`
    } catch (error) {
      this.latest = error instanceof CircuitOpenError ? 'not asked' : `failed: ${error.message}`
    }
  }

  async #fetch(/** @type {number} */ steps, /** @type {AbortSignal} */ signal) {
    const response = await fetch(`${this.#url}/estimate?steps=${steps}`, { signal })
    if (!response.ok) throw new Error(`it answered ${response.status}`)
    return (await response.json()).seconds
  }

  /** Asks again and again, one call at a time. */
  begin() {
    this.#timer = setInterval(() => {
      this.#asking ??= this.ask().finally(() => {
        this.#asking = undefined
      })
    }, EVERY_MS)
  }

  async stop() {
    clearInterval(this.#timer)
    this.#end.abort()
    await this.#asking
  }

  /** Tells the service how to answer from now on. */
  async tell(/** @type {string} */ mode) {
    const response = await fetch(`${this.#url}/mode`, { method: 'PUT', body: mode, signal: this.#end.signal })
    if (response.ok) this.mode = mode
    return { ok: response.ok, body: await response.json() }
  }
}
