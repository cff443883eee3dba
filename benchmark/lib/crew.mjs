/** The conductor's side: one process per contender, and only one of them at work at any time. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** @typedef {import('./worker.mjs').Commands} Commands */
/** @typedef {import('../contenders/index.mjs').Contender} Contender */
/** @typedef {import('../contenders/index.mjs').Place} Place */

const PATIENCE_MS = 2_000
const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url))

export class Member {
  #process

  /**
   * @param {Contender} contender
   * @param {string} scenario
   * @param {Place} place
   * @param {string[]} nodeArguments
   */
  constructor(contender, scenario, place, nodeArguments) {
    this.contender = contender
    this.#process = fork(WORKER, [contender.name, contender.backend, scenario, JSON.stringify(place)], {
      execArgv: ['--expose-gc', ...nodeArguments],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
  }

  /** @param {ConstructorParameters<typeof Member>} settings */
  static async start(...settings) {
    const member = new Member(...settings)
    await member.#answer()
    return member
  }

  /**
   * @template {keyof Commands} C
   * @param {C} command
   * @param {Parameters<Commands[C]>[0]} [argument]
   * @returns {Promise<Awaited<ReturnType<Commands[C]>>>}
   */
  async call(command, argument) {
    this.#process.send({ command, argument })
    return /** @type {Awaited<ReturnType<Commands[C]>>} */ (await this.#answer())
  }

  /** Lets the contender close its store; whoever hangs is ended. */
  async end() {
    if (!this.#process.connected) return
    const gone = once(this.#process, 'exit')
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), PATIENCE_MS)
    await this.call('close').catch(() => {})
    if (this.#process.connected) this.#process.disconnect()
    await gone
    clearTimeout(timer)
  }

  /** @returns {Promise<unknown>} */
  #answer() {
    return new Promise((resolve, reject) => {
      const onMessage = (/** @type {{ answer?: unknown, error?: string }} */ { answer, error }) => {
        this.#process.off('exit', onExit)
        if (error) reject(new Error(`${this.contender.name}: ${error}`))
        else resolve(answer)
      }
      const onExit = (/** @type {number | null} */ code) => {
        this.#process.off('message', onMessage)
        reject(new Error(`${this.contender.name}: its process ended with ${code}`))
      }
      this.#process.once('message', onMessage)
      this.#process.once('exit', onExit)
    })
  }
}
