import { connect, isIP, type Socket } from 'node:net'
import { createSecureContext, connect as dialTls, type SecureContext } from 'node:tls'
import type { Place } from '../native.js'
import { ConfigError } from './errors.js'
import type { TlsOptions } from './open.js'

/** Dials servers. The certificates are read once, so that bad ones are found when a storage is opened. */
export class Dialler {
  readonly #tls: TlsOptions
  readonly #context: SecureContext | undefined

  /** @param tls the options, as the engine gives them back: JSON */
  constructor(tls: string) {
    this.#tls = JSON.parse(tls) as TlsOptions
    const { ca, cert, key } = this.#tls
    if (ca !== undefined || cert !== undefined || key !== undefined) this.#context = contextOf(this.#tls)
  }

  /** `ready` is called when bytes may be sent: by TLS once the server has proved who it is. */
  dial({ host, port, path, tls }: Place, ready: () => void): Socket {
    const usual = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 5_000 }
    if (path !== undefined) return connect({ path, ...usual }, ready)
    if (!tls) return connect({ host, port, ...usual }, ready)
    const { rejectUnauthorized = true, servername = isIP(host) === 0 ? host : undefined } = this.#tls
    // A bare address is no name to ask for: its certificate must name the address itself.
    const name = servername === undefined ? {} : { servername }
    const context = this.#context === undefined ? {} : { secureContext: this.#context }
    const socket = dialTls({ host, port, rejectUnauthorized, ...name, ...context }, ready)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, usual.keepAliveInitialDelay)
    return socket
  }
}

function contextOf({ ca, cert, key }: TlsOptions): SecureContext {
  try {
    return createSecureContext({ ca, cert, key })
  } catch {
    // What is wrong in them is not told: a key is a secret.
    const message = 'tls: its ca, cert and key are no PEM texts that belong together'
    const facts = { operation: '', message, retryable: false, attempts: 1, outcome: 'not-applied' } as const
    throw new ConfigError({ code: 'STORAGE_CONFIG', ...facts })
  }
}
