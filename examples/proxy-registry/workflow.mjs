// What is to be done for hosts: told in a stream, done by one of several instances, and where each host stands.

/**
 * @typedef {object} HostState
 * @property {string} hostname
 * @property {string} last the latest thing that was told of it, or done for it
 * @property {boolean} pending told and not done yet
 */

/**
 * @typedef {object} Task
 * @property {string} id
 * @property {string} type `proxy_created` for one
 * @property {string} hostname
 * @property {unknown} data
 * @property {number} deliveries how often it was given to somebody, this time included
 */

const STREAM = 'workflow'
const GROUP = 'instances'

export class Workflow {
  #streams
  /** @type {import('flowkeep').Collection<HostState>} */
  #states

  /** @param {import('flowkeep').IStorage} storage */
  constructor(storage) {
    this.#streams = storage.streams
    this.#states = storage.collection('workflow-states', { id: 'hostname', sets: ['pending'] })
  }

  /**
   * Tells what is to be done for a host. The state comes first: who dies between the two leaves a host that is pending,
   * which shows, and not a task that nobody knows of.
   * @param {string} type @param {string} hostname @param {unknown} [data]
   */
  async tell(type, hostname, data = null) {
    await this.#states.put({ hostname, last: type, pending: true })
    return this.#streams.add(STREAM, { type, hostname, data: JSON.stringify(data) }, { maxLength: 10_000 })
  }

  /**
   * Does what is told until the signal aborts. What an instance had in its hands when it died is given to another one.
   * @param {(task: Task) => unknown} act
   * @param {{ signal: AbortSignal, concurrency?: number, claimAfterSeconds?: number, onError?: (error: unknown) => void }} options
   */
  work(act, options) {
    return this.#streams.consume(
      STREAM,
      GROUP,
      async ({ id, fields, deliveries }) => {
        const { type = '', hostname = '', data = 'null' } = fields
        await act({ id, type, hostname, data: JSON.parse(data), deliveries })
        await this.#states.put({ hostname, last: type, pending: false })
      },
      options,
    )
  }

  /** Where a host stands. @param {string} hostname */
  state(hostname) {
    return this.#states.get(hostname)
  }

  /** The hosts for which something is to be done. */
  async pending() {
    const { items } = await this.#states.in('pending', true, { limit: 1_000 })
    return items.map((state) => state.hostname)
  }

  /** How many tasks are in somebody's hands. */
  async inHand() {
    const groups = await this.#streams.groups(STREAM)
    return groups.find((group) => group.name === GROUP)?.pending ?? 0
  }

  /** Tasks that failed again and again. */
  async given() {
    const letters = await this.#streams.deadLetters(STREAM)
    return letters.map(({ fields }) => ({ type: fields.type, hostname: fields.hostname }))
  }
}
