// What the proxy may send requests to.

/**
 * @typedef {object} Service
 * @property {string} name
 * @property {string} url
 * @property {'external' | 'docker'} kind
 * @property {object} [config] how it was set up
 */

export class Services {
  /** @type {import('flowkeep').Collection<Service>} */
  #all

  /** @param {import('flowkeep').IStorage} storage */
  constructor(storage) {
    this.#all = storage.collection('services', { id: 'name', sets: ['kind'] })
  }

  /** Adds one, or replaces the one of this name. @param {Service} service */
  put(service) {
    return this.#all.put(service)
  }

  /** @param {string} name */
  get(name) {
    return this.#all.get(name)
  }

  /** Where a service is, whatever its kind; `null` where nobody knows it. @param {string} name */
  async urlOf(name) {
    return (await this.#all.get(name))?.url ?? null
  }

  /** The names of a kind. @param {Service['kind']} kind */
  async names(kind) {
    const { items } = await this.#all.in('kind', kind, { limit: 1_000 })
    return items.map((service) => service.name)
  }

  /** @param {string} name */
  remove(name) {
    return this.#all.delete(name)
  }
}
