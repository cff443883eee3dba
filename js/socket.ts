import { connect, type Socket } from 'node:net'

import type { NativeStorage } from '../native.js'

/** How often the engine looks at the time while calls wait, in ms: deadlines are this exact. */
const TICK_MS = 20
/** So many ticks without a waiting call end the ticking. */
const IDLE_TICKS = 50

const DIAL = 1
const DESTROY = 2

/** What to do with a call's text. */
export type Settle = (text: string) => void

/**
 * Carries the engine's bytes over a socket of the event loop: what a tick asks for leaves as one write.
 * It decides nothing: the engine says when to dial, what to send and when to give up. Only waiting calls
 * keep the process alive.
 */
export class Carrier {
  readonly #native: NativeStorage
  readonly #waiting = new Map<number, Settle>()
  #socket: Socket | undefined
  #connected = false
  #flushing = false
  #timer: NodeJS.Timeout | undefined
  #idleTicks = 0

  constructor(native: NativeStorage) {
    this.#native = native
  }

  /** Waits for a call's text. */
  wait(ticket: number, settle: Settle): void {
    this.#waiting.set(ticket, settle)
    if (this.#waiting.size === 1) this.#hold()
    if (!this.#flushing) {
      this.#flushing = true
      // Runs when all that is ready to run has run: calls made meanwhile leave together.
      process.nextTick(this.#flush)
    }
  }

  /** Gives a call up. */
  abandon(ticket: number): void {
    this.#native.abandon(ticket)
    if (this.#waiting.delete(ticket) && this.#waiting.size === 0) this.#release()
  }

  /** Settles every call and lets go of the socket. */
  close(): void {
    this.#native.close()
    this.#settle()
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#socket?.destroy()
    this.#socket = undefined
  }

  readonly #flush = (): void => {
    this.#flushing = false
    if (this.#connected) this.#send()
    else this.#look()
  }

  #send(): void {
    const bytes = this.#native.output()
    if (bytes) this.#socket?.write(bytes)
  }

  readonly #tick = (): void => {
    this.#idleTicks = this.#waiting.size > 0 ? 0 : this.#idleTicks + 1
    this.#look()
    if (this.#idleTicks > IDLE_TICKS) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  #look(): void {
    const want = this.#native.tick()
    if (want === DIAL && !this.#socket) this.#dial()
    else if (want === DESTROY) this.#socket?.destroy()
    this.#settle()
  }

  #dial(): void {
    const [host, port] = this.#native.address
    const place = port === undefined ? { path: host ?? '' } : { host: host ?? '', port: Number(port) }
    const socket = connect({ ...place, noDelay: true, keepAlive: true, keepAliveInitialDelay: 5_000 })
    this.#socket = socket
    let reason = 'closed'
    socket.on('connect', () => {
      this.#connected = true
      this.#native.connected()
      this.#send()
    })
    socket.on('data', (bytes) => {
      this.#native.feed(bytes)
      this.#settle()
      this.#send()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reason = error.code ?? 'error'
    })
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#connected = false
      this.#native.disconnected(reason)
      this.#settle()
      if (this.#waiting.size > 0) this.#look()
    })
    if (this.#waiting.size === 0) socket.unref()
  }

  #settle(): void {
    const finished = this.#native.finished()
    for (let at = 0; at < finished.length; at += 2) {
      const ticket = finished[at] as number
      const settle = this.#waiting.get(ticket)
      this.#waiting.delete(ticket)
      settle?.(finished[at + 1] as string)
    }
    if (finished.length > 0 && this.#waiting.size === 0) this.#release()
  }

  #hold(): void {
    this.#socket?.ref()
    if (this.#timer) this.#timer.ref()
    else this.#timer = setInterval(this.#tick, TICK_MS)
  }

  #release(): void {
    this.#socket?.unref()
    this.#timer?.unref()
  }
}
