/** The redis-server under test, seen from the conductor. */
import { Redis } from 'ioredis'

export class Server {
  #client

  /** @param {string} url */
  constructor(url) {
    this.url = url
    // A server that is not there is not waited for.
    this.#client = new Redis(url, { lazyConnect: true, retryStrategy: () => null })
    this.#client.on('error', () => {})
  }

  /**
   * Refuses a server that holds anything: a run empties it many times.
   * @param {string} url
   */
  static async open(url) {
    const server = new Server(url)
    await server.#client.connect().catch((error) => {
      throw new Error(`no redis-server at ${new URL(url).host}: ${error.message}`)
    })
    const keys = await server.#client.dbsize()
    if (keys === 0) return server
    await server.close()
    throw new Error(`${new URL(url).host} holds ${keys} keys; the benchmark wants an empty server of its own`)
  }

  async version() {
    return (await this.#info('server')).redis_version ?? 'unknown'
  }

  /** µs of CPU of the server's main thread so far. */
  async cpu() {
    const info = await this.#info('cpu')
    return (Number(info.used_cpu_user_main_thread) + Number(info.used_cpu_sys_main_thread)) * 1e6
  }

  /** Bytes held. */
  async memory() {
    return Number((await this.#info('memory')).used_memory)
  }

  async empty() {
    await this.#client.flushall('SYNC')
  }

  async close() {
    await this.#client.quit()
  }

  /** @param {string} section @returns {Promise<Record<string, string>>} */
  async #info(section) {
    const lines = (await this.#client.info(section)).split('\r\n')
    return Object.fromEntries(
      lines.filter((line) => line.includes(':')).map((line) => line.split(/:(.*)/s).slice(0, 2)),
    )
  }
}
