/**
 * The Redis peer, written as a careful project would: zod on write and on read, record, index and event in one atomic
 * step, one compare-and-set script for an update. What differs between the clients stands in a `Driver` each.
 */
import { newSession, Session, SessionData, SessionUpdate, TTL_MS, updatedSession } from './model.mjs'
import { STEP_SCRIPTS, StepsPeer } from './steps.mjs'

/** @typedef {import('./model.mjs').Store} Store */

/**
 * Client calls. A driver returns its client's promise as it is, so no hop is added to a peer.
 * @typedef {object} Driver
 * @property {(key: string) => Promise<string | null>} get
 * @property {(keys: string[]) => Promise<(string | null)[]>} getMany
 * @property {(index: string) => Promise<string[]>} members of a sorted set, in order
 * @property {(write: Creation) => Promise<unknown>} create SET PX, ZADD and XADD in one MULTI
 * @property {(script: Script, keys: string[], args: string[]) => Promise<unknown>} run one of `SCRIPTS`
 * @property {() => Promise<unknown>} close
 */

/** @typedef {{ record: string, text: string, index: string, score: number, id: string, events: string }} Creation */

export const CREATED = 'session:created'
export { TTL_MS }

/**
 * `swap` ARGV: expected text, new text, TTL in ms, session id. The whole text is compared: no JSON inside Lua, which
 * would turn `[]` into `{}`. `create` ARGV: text, TTL in ms, score, session id: dearer for the server than a MULTI,
 * cheaper for a client whose MULTI is slow.
 */
export const SCRIPTS = {
  ...STEP_SCRIPTS,
  swap: {
    keys: 2,
    lua: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('XADD', KEYS[2], '*', 'type', 'session:updated', 'sessionId', ARGV[4])
return 1`,
  },
  create: {
    keys: 3,
    lua: `
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
redis.call('XADD', KEYS[3], '*', 'type', '${CREATED}', 'sessionId', ARGV[4])
return 1`,
  },
}

/** @typedef {keyof typeof SCRIPTS} Script */

/**
 * The same driver, creating by script.
 * @param {Driver} driver
 * @returns {Driver}
 */
export const creatingByScript = (driver) => ({
  ...driver,
  create: ({ record, text, index, score, id, events }) =>
    driver.run('create', [record, index, events], [text, String(TTL_MS), String(score), id]),
})

/** @param {string} text */
const parse = (text) => Session.parse(JSON.parse(text))

/** @implements {Store} */
export class RedisPeer extends StepsPeer {
  #driver
  #prefix

  /** @param {Driver} driver @param {string} prefix */
  constructor(driver, prefix) {
    super(driver.run, prefix)
    this.#driver = driver
    this.#prefix = prefix
  }

  /** @type {Store['createSession']} */
  async createSession(userId, data) {
    const session = newSession(userId, SessionData.parse(data))
    await this.#driver.create({
      record: this.#record(session.sessionId),
      text: JSON.stringify(session),
      index: this.#index(userId),
      score: session.createdAt.getTime(),
      id: session.sessionId,
      events: this.#events(userId),
    })
    return session
  }

  /** @type {Store['getSession']} */
  async getSession(sessionId) {
    const text = await this.#driver.get(this.#record(sessionId))
    return text === null ? null : parse(text)
  }

  /** @type {Store['updateSession']} */
  async updateSession(sessionId, updates) {
    const valid = SessionUpdate.parse(updates)
    const record = this.#record(sessionId)
    for (;;) {
      const text = await this.#driver.get(record)
      if (text === null) throw new Error('not found')
      const session = updatedSession(parse(text), valid)
      const args = [text, JSON.stringify(session), String(TTL_MS), sessionId]
      if (await this.#driver.run('swap', [record, this.#events(session.userId)], args)) return session
    }
  }

  /** @type {Store['listSessions']} */
  async listSessions(userId) {
    const ids = await this.#driver.members(this.#index(userId))
    if (ids.length === 0) return []
    const texts = await this.#driver.getMany(ids.map((id) => this.#record(id)))
    return texts.flatMap((text) => (text === null ? [] : [parse(text)]))
  }

  async close() {
    await this.#driver.close()
  }

  /** @param {string} id */
  #record(id) {
    return `${this.#prefix}session:${id}`
  }

  /** @param {string} userId */
  #index(userId) {
    return `${this.#prefix}user:${userId}:sessions`
  }

  /** @param {string} userId */
  #events(userId) {
    return `${this.#prefix}user:${userId}:events`
  }
}
