/**
 * A JS Map guarded by zod: what a project writes first. Two kinds: one hands out the stored object itself (whoever
 * changes it changes the store), one clones on the way in and on the way out (the only one that isolates).
 */
import { newSession, SessionData, SessionUpdate, updatedSession } from './model.mjs'

/** @typedef {import('./model.mjs').SessionRecord} SessionRecord */
/** @typedef {import('./model.mjs').Store} Store */

/** @type {<T>(value: T) => T} */
const itself = (value) => value

/** @implements {Store} */
class MapStore {
  /** @type {Map<string, SessionRecord>} */
  #sessions = new Map()
  /** @type {Map<string, Set<string>>} */
  #byUser = new Map()
  /** @type {Map<string, { type: string, sessionId: string, at: number }[]>} */
  #events = new Map()
  #copy

  /** @param {<T>(value: T) => T} copy how a value crosses the border of the store */
  constructor(copy) {
    this.#copy = copy
  }

  /** @type {Store['createSession']} */
  async createSession(userId, data) {
    const session = newSession(userId, this.#copy(SessionData.parse(data)))
    this.#sessions.set(session.sessionId, session)
    const index = this.#byUser.get(userId)
    if (index) index.add(session.sessionId)
    else this.#byUser.set(userId, new Set([session.sessionId]))
    this.#append('session:created', session)
    return this.#copy(session)
  }

  /** @type {Store['getSession']} */
  async getSession(sessionId) {
    const session = this.#live(sessionId)
    return session ? this.#copy(session) : null
  }

  /** @type {Store['updateSession']} */
  async updateSession(sessionId, updates) {
    const current = this.#live(sessionId)
    if (!current) throw new Error('not found')
    const session = updatedSession(current, this.#copy(SessionUpdate.parse(updates)))
    this.#sessions.set(sessionId, session)
    this.#append('session:updated', session)
    return this.#copy(session)
  }

  /** @type {Store['listSessions']} */
  async listSessions(userId) {
    const found = []
    for (const sessionId of this.#byUser.get(userId) ?? []) {
      const session = this.#live(sessionId)
      if (session) found.push(this.#copy(session))
    }
    return found
  }

  async close() {}

  /** @param {string} sessionId */
  #live(sessionId) {
    const session = this.#sessions.get(sessionId)
    return session?.expiresAt && session.expiresAt.getTime() > Date.now() ? session : undefined
  }

  /** @param {string} type @param {SessionRecord} session */
  #append(type, { sessionId, userId, updatedAt }) {
    const event = { type, sessionId, at: updatedAt.getTime() }
    const events = this.#events.get(userId)
    if (events) events.push(event)
    else this.#events.set(userId, [event])
  }
}

/** @returns {Store} */
export const openShared = () => new MapStore(itself)

/** @returns {Store} */
export const openCloned = () => new MapStore(structuredClone)
