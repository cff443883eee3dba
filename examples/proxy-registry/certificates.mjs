// Certificates, found by every domain that they are for, and what is becoming of those that are being made.

/** How long it is remembered how far a certificate is. */
const STATUS_SECONDS = 300

/**
 * @typedef {object} Certificate
 * @property {string} name
 * @property {string[]} domains no two certificates are for one domain
 * @property {Uint8Array} fullchain
 * @property {Uint8Array} privateKey
 * @property {string} expiresAt
 */

/**
 * @typedef {object} CertificateStatus
 * @property {string} name
 * @property {'pending' | 'validating' | 'ready' | 'failed'} status
 * @property {string} [message]
 */

export class Certificates {
  /** @type {import('flowkeep').Collection<Certificate>} */
  #all
  /** @type {import('flowkeep').Collection<CertificateStatus>} */
  #status

  /** @param {import('flowkeep').IStorage} storage */
  constructor(storage) {
    this.#all = storage.collection('certificates', {
      id: 'name',
      lookup: ['domains'],
      binary: ['fullchain', 'privateKey'],
    })
    this.#status = storage.collection('certificate-status', { id: 'name', ttlSeconds: STATUS_SECONDS })
  }

  /** Stores one with all its domains in one step. @param {Certificate} certificate */
  put(certificate) {
    return this.#all.put(certificate)
  }

  /** @param {string} name */
  get(name) {
    return this.#all.get(name)
  }

  /** The certificate for a host: its own, or that of the domain's wildcard. @param {string} host */
  async forHost(host) {
    const own = await this.#all.getBy('domains', host)
    return own ?? this.#all.getBy('domains', host.replace(/^[^.]+/, '*'))
  }

  /** @param {CertificateStatus} status */
  report(status) {
    return this.#status.put(status)
  }

  /** How far it is; `null` when nothing was said for five minutes. @param {string} name */
  status(name) {
    return this.#status.get(name)
  }

  /** @param {string} name */
  remove(name) {
    return this.#all.delete(name)
  }
}
