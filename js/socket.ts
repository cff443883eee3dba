import type { Socket } from 'node:net'

import type { NativeStorage, Place } from '../native.js'
import { Answers, type Settle } from './answers.js'
import { Dialler } from './dial.js'

/** How often the engine looks at the time while calls wait, in ms: deadlines are this exact. */
const TICK_MS = 20
/** So many ticks without a waiting call end the ticking. */
const IDLE_TICKS = 50

/** So many calls are told in one turn of the loop at the most: whoever else waits for the loop comes in between. */
const PORTION = 32

/** Bytes that leave with one write without being copied twice. */
const ROOM = 256 * 1_024

/** A connection that was dialled. */
interface Wire {
  readonly socket: Socket
  connected: boolean
}

/**
 * Carries the engine's bytes over sockets of the event loop, one for each of its connections: what a tick asks for leaves
 * as one write. It decides nothing: the engine says what to dial, what to send and when to give up. Only waiting calls
 * keep the process alive.
 */
export class Carrier {
  readonly #native: NativeStorage
  readonly #dialler: Dialler
  /** By ticket: tickets are small numbers that are given again. */
  readonly #waiting: (Settle | undefined)[] = []
  #count = 0
  /** Those of the waiting calls that do not keep the process alive. */
  readonly #idle = new Set<number>()
  readonly #answers: Answers
  #room = Buffer.allocUnsafeSlow(ROOM)
  readonly #wires = new Map<number, Wire>()
  #flushing = false
  #timer: NodeJS.Timeout | undefined
  #idleTicks = 0
  #held = false
  #rest: NodeJS.Immediate | undefined
  readonly #resilient: boolean
  readonly #hear: (news: string) => void

  /** `hear` is told what happened to the storage as a whole: a JSON array of events. */
  constructor(native: NativeStorage, hear: (news: string) => void) {
    this.#native = native
    this.#resilient = native.isResilient
    this.#hear = hear
    this.#dialler = new Dialler(native.tls)
    this.#answers = new Answers(native)
    this.watch()
  }

  /** Waits for a call's answer. Unless it `holds`, waiting for it does not keep the process alive. */
  wait(ticket: number, settle: Settle, holds = true): void {
    this.#waiting[ticket] = settle
    this.#count += 1
    if (!holds) this.#idle.add(ticket)
    if (!this.#held || this.#timer === undefined) this.#attend()
    this.#soon()
  }

  /** From now on the process stays alive until this call is answered. */
  hold(ticket: number): void {
    if (this.#idle.delete(ticket)) this.#attend()
  }

  /** A call was answered at once: what it did may be what others wait for. */
  stir(): void {
    if (this.#count > 0) this.#soon()
    else if (this.#resilient) this.watch()
  }

  /** Tells something that happened to the storage as a whole. */
  tell(news: object): void {
    this.#hear(JSON.stringify([{ at: Date.now(), ...news }]))
  }

  /** Looks at the time also while no call waits, as long as the engine has something to do. It keeps no process alive. */
  watch(): void {
    if (this.#timer || !this.#native.isBusy) return
    this.#timer = setInterval(this.#tick, TICK_MS)
    this.#timer.unref()
  }

  /** Gives a call up. */
  abandon(ticket: number): void {
    if (!this.#waiting[ticket]) return
    this.#native.abandon(ticket)
    this.#waiting[ticket] = undefined
    this.#count -= 1
    this.#idle.delete(ticket)
    this.#attend()
    // A connection of its own ends with it.
    this.#soon()
  }

  /** Settles every call and lets go of the sockets. */
  close(): void {
    this.#native.close()
    let more = true
    while (more) more = this.#settleSome(this.#count)
    clearImmediate(this.#rest)
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const { socket } of this.#wires.values()) socket.destroy()
    this.#wires.clear()
  }

  #soon(): void {
    if (this.#flushing) return
    this.#flushing = true
    // Runs when all that is ready to run has run: calls made meanwhile leave together.
    process.nextTick(this.#flush)
  }

  readonly #flush = (): void => {
    this.#flushing = false
    let sent = false
    for (const [connection, wire] of this.#wires) sent = this.#send(connection, wire) || sent
    if (!sent) this.#look()
  }

  #send(connection: number, { socket, connected }: Wire): boolean {
    const bytes = connected ? this.#native.output(connection, this.#room) : 0
    if (bytes === 0) return false
    if (typeof bytes !== 'number') socket.write(bytes)
    else {
      socket.write(this.#room.subarray(0, bytes))
      // What the system did not take at once still lies there.
      if (socket.writableLength > 0) this.#room = Buffer.allocUnsafeSlow(ROOM)
    }
    return true
  }

  readonly #tick = (): void => {
    const needed = this.#count > 0 || (this.#resilient && this.#native.isBusy)
    this.#idleTicks = needed ? 0 : this.#idleTicks + 1
    this.#look()
    this.#attend()
    if (this.#idleTicks > IDLE_TICKS) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  #look(): void {
    for (const { connection, place } of this.#native.tick() ?? []) {
      const wire = this.#wires.get(connection)
      if (!place) wire?.socket.destroy()
      else if (!wire) this.#dial(connection, place)
    }
    this.#settle()
    if (this.#resilient) {
      const news = this.#native.news()
      if (news) this.#hear(news)
    }
    // What was woken by the time, and what the engine itself has to say: whether a server is still there.
    for (const [connection, wire] of this.#wires) this.#send(connection, wire)
  }

  #dial(connection: number, place: Place): void {
    const ready = (): void => {
      wire.connected = true
      this.#native.connected(connection)
      this.#send(connection, wire)
    }
    const take = (bytes: Uint8Array): boolean => {
      const underWay = this.#native.feed(connection, bytes)
      // One half after the other: what follows from the first is on its way, and the server at work, while the second is told.
      // What went as one comes as one: what follows from that may go as one again.
      this.#settle(underWay > 1 ? Math.min(Math.ceil(underWay / 2), PORTION) : this.#count)
      this.#send(connection, wire)
      // What came by one connection may have something sent by another.
      if (this.#wires.size > 1) this.#soon()
      return underWay > 2 * PORTION
    }
    const socket = this.#dialler.dial(place, ready, take)
    const wire = { socket, connected: false }
    this.#wires.set(connection, wire)
    let reason = 'closed'
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reason = error.code ?? 'error'
    })
    socket.on('close', () => {
      if (this.#wires.get(connection) !== wire) return
      this.#wires.delete(connection)
      this.#native.disconnected(connection, reason)
      this.#settle()
      if (this.#count > 0) this.#look()
    })
    if (!this.#held) socket.unref()
  }

  /** Tells what has finished: `most` calls now, the others when what these lead to has left. */
  #settle(most = PORTION): void {
    if (this.#settleSome(most)) this.#rest ??= setImmediate(this.#settleRest)
  }

  #settleSome(most: number): boolean {
    return this.#count > 0 && this.#answers.settle(most, this.#claim, this.#claimed)
  }

  readonly #settleRest = (): void => {
    this.#rest = undefined
    this.#settle()
    this.#soon()
  }

  readonly #claim = (ticket: number): Settle | undefined => {
    const settle = this.#waiting[ticket]
    this.#waiting[ticket] = undefined
    if (this.#idle.size > 0) this.#idle.delete(ticket)
    return settle
  }

  readonly #claimed = (count: number): void => {
    this.#count -= count
  }

  /**
   * Looks at the time while calls wait, and keeps the process alive as long as one of them is to, and until the next tick: who
   * makes one call after the other would begin and end that with each.
   */
  #attend(): void {
    const holds = this.#count > this.#idle.size
    const isNew = this.#timer === undefined && this.#count > 0
    if (isNew) this.#timer = setInterval(this.#tick, TICK_MS)
    if (holds === this.#held && !isNew) return
    this.#held = holds
    const sockets = [...this.#wires.values()].map(({ socket }) => socket)
    for (const one of [this.#timer, ...sockets]) holds ? one?.ref() : one?.unref()
  }
}
