// The live feed of one listener: the storage's own feed, with the records that its events speak of.
import { setTimeout as sleep } from 'node:timers/promises'

/** Events of one message at the most: more follow in the next one. */
const MOST = 200
/** How often the storage is asked how it is, for all listeners together. */
const LOOK_MS = 1000

export class Feed {
  /** @type {import('flowkeep').IStorage} */ #storage
  /** @type {string} */ #instance
  #closing = new AbortController()
  #listeners = 0
  /** @type {{ text: string, status: object }} */ #status = { text: '', status: {} }
  /** @type {Promise<void> | undefined} */ #looking
  /** @type {import('./outage.mjs').Outage | undefined} */ #outage

  /**
   * @param {import('flowkeep').IStorage} storage
   * @param {string} instance tells a listener that the backend is another one than before
   * @param {import('./outage.mjs').Outage} [outage] of which listeners are told
   */
  constructor(storage, instance, outage) {
    this.#storage = storage
    this.#instance = instance
    this.#outage = outage
  }

  /** How many listen, over all users. */
  get listeners() {
    return this.#listeners
  }

  close() {
    this.#closing.abort()
  }

  /**
   * What a user's page is to hear: `hello`, then `changes` with the events and the records that they speak of, and `status`
   * whenever the storage's state changes. `last` is the id where an earlier connection of the page stopped.
   * @param {string} userId
   * @param {string | undefined} last
   */
  follow(userId, last) {
    const end = new AbortController()
    const messages = this.#serve(userId, last, end)
    const iterator = {
      next: () => messages.next(),
      // Whatever it waits for.
      return: () => {
        end.abort()
        return messages.return()
      },
    }
    return { [Symbol.asyncIterator]: () => iterator }
  }

  /** @param {string} userId @param {string | undefined} last @param {AbortController} end */
  async *#serve(userId, last, end) {
    const stop = () => end.abort()
    this.#closing.signal.addEventListener('abort', stop)
    this.#listeners += 1
    this.#looking ??= this.#look()
    try {
      yield* this.#messages(userId, last, end.signal)
    } catch (error) {
      if (!end.signal.aborted) throw error
    } finally {
      this.#listeners -= 1
      this.#closing.signal.removeEventListener('abort', stop)
      stop()
    }
  }

  /** @param {string} userId @param {string | undefined} last @param {AbortSignal} signal */
  async *#messages(userId, last, signal) {
    let told = ''
    const state = () => this.#status
    function* news() {
      const { text, status } = state()
      if (told === text) return
      told = text
      yield { event: 'status', data: status }
    }
    /** @type {import('flowkeep').Subscription<import('flowkeep').FeedItem> | undefined} */ let feed
    const opening = this.#open(userId, last, signal)
    /** @type {Promise<any> | undefined} */ let next
    while (!signal.aborted) {
      if (feed === undefined) {
        const opened = await within(opening, LOOK_MS / 4)
        if (opened === undefined) {
          yield* news()
          continue
        }
        feed = opened.feed
        const data = { instance: this.#instance, resumed: opened.resumed, now: new Date() }
        yield { event: 'hello', id: feed.cursor ?? last, data }
        continue
      }
      yield* news()
      next ??= feed.next()
      const first = await within(next, LOOK_MS / 4)
      if (first === undefined) continue
      next = undefined
      if (first.done) return
      // Whatever else is there already goes along.
      const items = [first.value]
      let cursor = feed.cursor
      while (items.length < MOST) {
        next = feed.next()
        const more = await within(next, 0)
        if (more === undefined || more.done) break
        next = undefined
        items.push(more.value)
        cursor = feed.cursor
      }
      const message = await this.#message(items, signal)
      if (message !== undefined) yield { event: 'changes', id: cursor, data: message }
    }
  }

  /**
   * Goes on where the page stopped, if that place is one of this user's feed, else begins now.
   * @param {string} userId @param {string | undefined} last @param {AbortSignal} signal
   */
  async #open(userId, last, signal) {
    const query = { userId, signal }
    while (!signal.aborted) {
      try {
        const known = last !== undefined && (await this.#knows(userId, last))
        const feed = this.#storage.subscribe({ ...query, after: known ? last : 'now' })
        await (known ? undefined : feed.ready())
        return { feed, resumed: known }
      } catch {
        await sleep(LOOK_MS, undefined, { signal }).catch(() => {})
      }
    }
    return undefined
  }

  /** @param {string} userId @param {string} cursor */
  async #knows(userId, cursor) {
    try {
      await this.#storage.events({ userId, cursor, limit: 1 })
      return true
    } catch (/** @type {any} */ error) {
      if (error.code === 'STORAGE_INVALID') return false
      throw error
    }
  }

  /**
   * The events together with the records they speak of, as these stand now. What an event says about a record's change is
   * left out, since the whole record follows. Every write moves the session's deadline, so sessions always come along.
   * While the storage is away it is asked again: an event without its record would leave the page behind.
   * @param {readonly import('flowkeep').FeedItem[]} items
   * @param {AbortSignal} signal
   */
  async #message(items, signal) {
    const events = /** @type {import('flowkeep').Event[]} */ (items.filter((item) => item.type !== 'gap'))
    const read = async (
      /** @type {Iterable<string>} */ ids,
      /** @type {(id: string) => Promise<object | null>} */ get,
    ) => (await Promise.all([...new Set(ids)].map(get))).filter((record) => record !== null)
    const named = (/** @type {'chain' | 'step'} */ kind) =>
      events.flatMap((event) => (event.type.startsWith(`${kind}:`) ? (event[`${kind}Id`] ?? []) : []))
    while (!signal.aborted) {
      try {
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
      } catch {
        await sleep(LOOK_MS / 4, undefined, { signal }).catch(() => {})
      }
    }
    return undefined
  }

  /** Looks how the storage is as long as somebody listens. */
  async #look() {
    const { signal } = this.#closing
    while (this.#listeners > 0 && !signal.aborted) {
      const trouble = await this.#storage.events({ userId: 'nobody', limit: 1 }).then(
        () => null,
        (error) => error.code ?? 'INTERNAL',
      )
      const { backend, state } = await this.#storage
        .status()
        .catch(() => ({ backend: 'unknown', state: 'unknown' }))
      const status = { backend, state, trouble, outage: (await this.#outage?.look()) ?? null }
      this.#status = { text: JSON.stringify(status), status }
      const pause = status.outage?.on || state !== 'healthy' ? LOOK_MS / 4 : LOOK_MS
      await sleep(pause, undefined, { signal }).catch(() => {})
    }
    this.#looking = undefined
  }
}

/**
 * What a promise gives, unless that takes longer: then nothing, and it may be waited for again.
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @returns {Promise<T | undefined>}
 */
async function within(promise, ms) {
  const end = new AbortController()
  const late = sleep(ms, undefined, { signal: end.signal }).catch(() => undefined)
  try {
    return await Promise.race([promise, late])
  } finally {
    end.abort()
  }
}
