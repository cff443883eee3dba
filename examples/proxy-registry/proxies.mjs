// Where requests for a host go, and who is at the other end of a connection that came in with the PROXY protocol.

/** A connection announces itself, and is served within this time. */
const CLIENT_SECONDS = 60

/**
 * @typedef {object} Proxy
 * @property {string} hostname
 * @property {string} targetUrl
 * @property {string} [certificate]
 * @property {boolean} enabled
 */

/**
 * @typedef {object} Client
 * @property {string} connection
 * @property {string} ip
 * @property {number} port
 */

export class Proxies {
  /** Targets by host. @type {import('flowkeep').Collection<Proxy>} */
  targets
  /** @type {import('flowkeep').Collection<Client>} */
  #clients

  /** @param {import('flowkeep').IStorage} storage */
  constructor(storage) {
    this.targets = storage.collection('proxies', { id: 'hostname', sets: ['certificate', 'enabled'] })
    this.#clients = storage.collection('proxy-clients', { id: 'connection', ttlSeconds: CLIENT_SECONDS })
  }

  /**
   * Notes who came in between two ports of this machine.
   * @param {number} serverPort
   * @param {number} clientPort
   * @param {{ ip: string, port: number }} client
   */
  announce(serverPort, clientPort, client) {
    return this.#clients.put({ connection: `${serverPort}:${clientPort}`, ...client })
  }

  /** Who that was; `null` after a minute. @param {number} serverPort @param {number} clientPort */
  clientOf(serverPort, clientPort) {
    return this.#clients.get(`${serverPort}:${clientPort}`)
  }
}
