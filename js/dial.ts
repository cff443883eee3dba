import type { OnReadOpts, Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import type { Place } from '../native.js'
import { ConfigError } from './errors.js'
import type { TlsOptions } from './open.js'

/** Bytes that are read at once. */
const ROOM = 64 * 1_024
/** So many times in a row as many as there is room for: then others have their turn first. */
const FULL_ROOMS = 4

/** Dials servers. The certificates are read once, so that bad ones are found when a storage is opened. */
export class Dialler {
  readonly #tls: TlsOptions
  readonly #context: SecureContext | undefined
  /** For what all of its sockets read: whoever takes it is done with it before the next read. */
  readonly #room = Buffer.allocUnsafeSlow(ROOM)

  /** @param tls the options, as the engine gives them back: JSON */
  constructor(tls: string) {
    this.#tls = JSON.parse(tls) as TlsOptions
    const { ca, cert, key } = this.#tls
    if (ca !== undefined || cert !== undefined || key !== undefined) this.#context = contextOf(this.#tls)
  }

  /**
   * `ready` is called when bytes may be sent: by TLS once the server has proved who it is. `take` gets bytes that came;
   * they are its own only until it returns, and what it gives is whether that was enough for one turn of the loop.
   */
  dial(place: Place, ready: () => void, take: (bytes: Uint8Array) => boolean): Socket {
    let full = 0
    const callback = (length: number): boolean => {
      const enough = take(this.#room.subarray(0, length))
      full = length === ROOM ? full + 1 : 0
      if (full < FULL_ROOMS && !enough) return true
      // The loop reads on for as long as there is something to read: nobody else would have a turn.
      full = 0
      setImmediate(() => socket.resume())
      return false
    }
    // Into one room, without a stream in between, which would make a buffer of its own for each read.
    const socket = this.#connect(place, { buffer: this.#room, callback }, ready)
    return socket
  }

  #connect({ host, port, path, tls }: Place, onread: OnReadOpts, ready: () => void): Socket {
    // Loaded when they are needed: who stays in memory does not wait for them at the start.
    const { connect, isIP } = process.getBuiltinModule('node:net')
    const usual = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 5_000, onread }
    if (path !== undefined) return connect({ path, ...usual }, ready)
    if (!tls) return connect({ host, port, ...usual }, ready)
    const { rejectUnauthorized = true, servername = isIP(host) === 0 ? host : undefined } = this.#tls
    // A bare address is no name to ask for: its certificate must name the address itself.
    const name = servername === undefined ? {} : { servername }
    const context = this.#context === undefined ? {} : { secureContext: this.#context }
    const wanted = { host, port, rejectUnauthorized, onread, ...name, ...context }
    const socket = process.getBuiltinModule('node:tls').connect(wanted, ready)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, usual.keepAliveInitialDelay)
    return socket
  }
}

function contextOf({ ca, cert, key }: TlsOptions): SecureContext {
  try {
    return process.getBuiltinModule('node:tls').createSecureContext({ ca, cert, key })
  } catch {
    // What is wrong in them is not told: a key is a secret.
    const message = 'tls: its ca, cert and key are no PEM texts that belong together'
    const facts = { operation: '', message, retryable: false, attempts: 1, outcome: 'not-applied' } as const
    throw new ConfigError({ code: 'STORAGE_CONFIG', ...facts })
  }
}
