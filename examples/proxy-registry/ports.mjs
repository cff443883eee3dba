// Which port belongs to whom.

/**
 * @typedef {object} Port
 * @property {number} port
 * @property {string} service
 * @property {string} role what the service uses it for; a service uses one port for one thing
 * @property {string} [bind]
 */

export class Ports {
  /** @type {import('flowkeep').Collection<Port>} */
  #all

  /** @param {import('flowkeep').IStorage} storage */
  constructor(storage) {
    this.#all = storage.collection('ports', {
      id: 'port',
      unique: [['service', 'role']],
      orderBy: 'port',
      sets: ['service'],
    })
  }

  /** Gives a port to a service. `ConflictError` carries the one that has it. @param {Port} port */
  claim(port) {
    return this.#all.create(port)
  }

  /** Gives the first free port of a range. @param {Omit<Port, 'port'>} use @param {{ from: number, to: number }} range */
  async allocate(use, { from, to }) {
    for (let port = from; port <= to; port++) {
      try {
        return await this.#all.create({ port, ...use })
      } catch (error) {
        // Somebody has this port, so the next one is tried; but a role that is served already is served.
        const { code, current } = /** @type {{ code?: string, current?: Port }} */ (error)
        if (code !== 'STORAGE_EXISTS' || current?.port !== port) throw error
      }
    }
    return null
  }

  /** @param {number} port */
  get(port) {
    return this.#all.get(port)
  }

  /** What a service listens on, by role. @param {string} service */
  async of(service) {
    const { items } = await this.#all.in('service', service)
    return new Map(items.map((port) => [port.role, port]))
  }

  /** @param {number} port */
  release(port) {
    return this.#all.delete(port)
  }
}
