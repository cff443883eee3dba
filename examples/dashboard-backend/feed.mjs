// The live feed: one poller per user, shared by all who listen. It is the storage's event log read onwards from a cursor.
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 250
/** Events of one message. A full page is followed by the next one at once. */
const PAGE = 200
/** A storage that fails is asked less often. */
const POLL_AFTER_FAILURE_MS = 1000
/** A new listener begins here in the past: its snapshot is read afterwards, so nothing can fall between the two. */
const OVERLAP_MS = 1000

/**
 * Somebody who listens. `last` is where this one says it stopped, `cursor` the place in the log up to which it has been
 * served: absent as long as the storage could not tell it.
 * @typedef {{ last?: string, cursor?: string, told?: string, busy: () => boolean, send: (event: string, data: object, cursor?: string) => void, end: () => void }} Listener
 */

export class Feed {
  /** @type {import('flowkeep').IStorage} */ #storage
  /** @type {string} */ #instance
  /** @type {Map<string, Set<Listener>>} */ #users = new Map()
  #closing = new AbortController()

  /**
   * @param {import('flowkeep').IStorage} storage
   * @param {string} instance tells a listener that the backend is another one than before
   */
  constructor(storage, instance) {
    this.#storage = storage
    this.#instance = instance
  }

  /**
   * Serves a listener until the returned function is called. The first one of a user starts the poller, the last one ends it.
   * @param {string} userId
   * @param {Listener} listener
   */
  listen(userId, listener) {
    const listeners = this.#users.get(userId)
    if (listeners !== undefined) listeners.add(listener)
    else {
      const first = new Set([listener])
      this.#users.set(userId, first)
      this.#poll(userId, first)
    }
    return () => void this.#users.get(userId)?.delete(listener)
  }

  /** How many listen, over all users. */
  get listeners() {
    return [...this.#users.values()].reduce((sum, listeners) => sum + listeners.size, 0)
  }

  close() {
    this.#closing.abort()
    for (const listeners of this.#users.values()) for (const listener of listeners) listener.end()
  }

  /** @param {string} userId @param {Set<Listener>} listeners */
  async #poll(userId, listeners) {
    const { signal } = this.#closing
    while (listeners.size > 0 && !signal.aborted) {
      let pause = POLL_MS
      let trouble = null
      try {
        if (await this.#serve(userId, listeners)) pause = 0
      } catch (error) {
        trouble = error.code ?? 'INTERNAL'
        pause = POLL_AFTER_FAILURE_MS
      }
      await this.#tell(listeners, trouble)
      await sleep(pause, undefined, { signal }).catch(() => {})
    }
    this.#users.delete(userId)
  }

  /**
   * Greets a listener and says where it begins: at its last cursor, if the log still knows it, else at the present end.
   * @param {string} userId
   * @param {Listener} listener
   */
  async #begin(userId, listener) {
    const { cursor, resumed } = await this.#place(userId, listener.last)
    listener.cursor = cursor
    listener.send('hello', { instance: this.#instance, resumed, now: new Date() }, cursor)
  }

  /** @param {string} userId @param {string | undefined} last */
  async #place(userId, last) {
    if (last !== undefined) {
      try {
        await this.#storage.events({ userId, cursor: last, limit: 1 })
        return { cursor: last, resumed: true }
      } catch (error) {
        if (error.code !== 'STORAGE_INVALID') throw error
      }
    }
    const after = new Date(Date.now() - OVERLAP_MS)
    let page = await this.#storage.events({ userId, after, limit: 1000 })
    while (page.items.length === 1000)
      page = await this.#storage.events({ userId, cursor: page.cursor, limit: 1000 })
    return { cursor: page.cursor, resumed: false }
  }

  /**
   * One page for all who stand at the same cursor; usually that is everybody. True when there is more.
   * Nobody's cursor moves before the page was sent, so a slow reader is left out and catches up later.
   * @param {string} userId
   * @param {Set<Listener>} listeners
   */
  async #serve(userId, listeners) {
    const ready = [...listeners].filter((listener) => !listener.busy())
    for (const listener of ready) if (listener.cursor === undefined) await this.#begin(userId, listener)
    let more = false
    for (const [cursor, group] of groupBy(ready, (listener) => listener.cursor ?? '')) {
      const page = await this.#storage.events({ userId, cursor, limit: PAGE })
      const message = page.items.length > 0 ? await this.#message(page.items) : undefined
      for (const listener of group) {
        if (message !== undefined) listener.send('changes', message, page.cursor)
        listener.cursor = page.cursor
      }
      more ||= page.items.length === PAGE
    }
    return more
  }

  /**
   * The events together with the records they speak of, as these stand now. What an event says about a record's change is
   * left out, since the whole record follows. Every write moves the session's deadline, so sessions always come along.
   * @param {readonly import('flowkeep').Event[]} events
   */
  async #message(events) {
    const read = async (
      /** @type {Iterable<string>} */ ids,
      /** @type {(id: string) => Promise<object | null>} */ get,
    ) => (await Promise.all([...new Set(ids)].map(get))).filter((record) => record !== null)
    const named = (/** @type {'chain' | 'step'} */ kind) =>
      events.flatMap((event) => (event.type.startsWith(`${kind}:`) ? (event[`${kind}Id`] ?? []) : []))
    const [sessions, chains, steps] = await Promise.all([
      read(
        events.map((event) => event.sessionId),
        (id) => this.#storage.getSession(id),
      ),
      read(named('chain'), (id) => this.#storage.getChain(id)),
      read(named('step'), (id) => this.#storage.getStep(id)),
    ])
    const told = events.map(({ data, ...event }) =>
      event.type.startsWith('custom:') ? { ...event, data } : event,
    )
    return { now: new Date(), events: told, sessions, chains, steps }
  }

  /**
   * Says how the storage is: to a new listener, and to all when it changes.
   * @param {Set<Listener>} listeners
   * @param {string | null} trouble
   */
  async #tell(listeners, trouble) {
    const { backend, state } = await this.#storage
      .status()
      .catch(() => ({ backend: 'unknown', state: 'unknown' }))
    const status = { backend, state, trouble }
    const text = JSON.stringify(status)
    for (const listener of listeners) {
      if (listener.told !== text) listener.send('status', status)
      listener.told = text
    }
  }
}

/**
 * @template T
 * @param {readonly T[]} items
 * @param {(item: T) => string} key
 */
function groupBy(items, key) {
  /** @type {Map<string, T[]>} */
  const groups = new Map()
  for (const item of items) {
    const group = groups.get(key(item))
    if (group === undefined) groups.set(key(item), [item])
    else group.push(item)
  }
  return groups
}
