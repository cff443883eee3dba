// Tokens for programs: made by a person under a name, shown by the program as a secret of which only the hash is stored.
import { createHash, randomBytes } from 'node:crypto'

/** @typedef {{ name: string, hash: string, owner: string, createdAt: string }} Token */

const hashOf = (/** @type {string} */ secret) => createHash('sha256').update(secret).digest('hex')

export class Tokens {
  /** @type {import('flowkeep').Collection<Token>} */
  #all

  /** @param {import('flowkeep').IStorage} storage */
  constructor(storage) {
    this.#all = storage.collection('tokens', { id: 'name', lookup: ['hash'], sets: ['owner'] })
  }

  /** Makes one; its secret is given here and never again. @param {string} name @param {string} owner */
  async create(name, owner) {
    const secret = randomBytes(24).toString('base64url')
    await this.#all.create({ name, owner, hash: hashOf(secret), createdAt: new Date().toISOString() })
    return secret
  }

  /** @param {string} name */
  byName(name) {
    return this.#all.get(name)
  }

  /** @param {string} secret */
  bySecret(secret) {
    return this.#all.getBy('hash', hashOf(secret))
  }

  /** Another secret under the name; the one before is worth nothing from then on. @param {string} name */
  async renew(name) {
    const secret = randomBytes(24).toString('base64url')
    await this.#all.update(name, { hash: hashOf(secret) })
    return secret
  }

  /** @param {string} owner */
  async namesOf(owner) {
    const { items } = await this.#all.in('owner', owner)
    return items.map((token) => token.name)
  }

  /** @param {string} name */
  remove(name) {
    return this.#all.delete(name)
  }
}
