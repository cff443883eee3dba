// What the page knows: the newest version of every record it was told of, from snapshots and from the feed alike.

/** More than this many sessions or chains are not shown at once. */
export const SHOWN_AT_MOST = 100

export class Records {
  sessions = new Map()
  chains = new Map()
  steps = new Map()
  /** What was deleted: a snapshot that was read before must not bring it back. */
  #gone = new Set()

  /**
   * Takes a whole list: what it no longer names is gone. Only records known before the list was asked for can be missing
   * from it; the others came by the feed in the meantime.
   */
  async takeList(map, id, belongs, ask) {
    const before = [...map.values()].filter(belongs).map((record) => record[id])
    const items = await ask()
    const listed = new Set(items.map((record) => record[id]))
    for (const known of before) if (!listed.has(known)) map.delete(known)
    for (const record of items) this.#keep(map, record[id], record)
  }

  /** A late answer never replaces a newer one. */
  put({ sessions = [], chains = [], steps = [] }) {
    for (const session of sessions) this.#keep(this.sessions, session.sessionId, session)
    for (const chain of chains) this.#keep(this.chains, chain.chainId, chain)
    for (const step of steps) this.#keep(this.steps, step.stepId, step)
  }

  #keep(map, id, record) {
    const known = map.get(id)
    if (!this.#gone.has(id) && !(known?.version > record.version)) map.set(id, record)
  }

  /** Takes away what an event reports as deleted, with everything below it. */
  forget({ type, sessionId, chainId, stepId }) {
    if (type === 'step:deleted') this.#drop(this.steps, stepId)
    if (type === 'chain:deleted') this.#dropChain(chainId)
    if (type === 'session:deleted') {
      this.#drop(this.sessions, sessionId)
      for (const chain of this.chainsOf(sessionId)) this.#dropChain(chain.chainId)
    }
  }

  #dropChain(chainId) {
    this.#drop(this.chains, chainId)
    for (const step of this.stepsOf(chainId)) this.#drop(this.steps, step.stepId)
  }

  #drop(map, id) {
    map.delete(id)
    this.#gone.add(id)
  }

  /** Newest first; ids are ordered by time, so they break ties. */
  sessionList() {
    return [...this.sessions.values()].sort(
      (a, b) => newer(a.createdAt, b.createdAt) || newer(a.sessionId, b.sessionId),
    )
  }

  chainsOf(sessionId) {
    return [...this.chains.values()]
      .filter((chain) => chain.sessionId === sessionId)
      .sort((a, b) => newer(a.createdAt, b.createdAt) || newer(a.chainId, b.chainId))
  }

  stepsOf(chainId) {
    return [...this.steps.values()]
      .filter((step) => step.chainId === chainId)
      .sort((a, b) => a.stepNumber - b.stepNumber)
  }
}

function newer(a, b) {
  return a < b ? 1 : a > b ? -1 : 0
}

/** A read of the REST interface. An answer that is no success becomes an error with the code of the storage. */
export async function read(path, options) {
  const response = await fetch(path, options)
  const body = response.status === 204 ? null : await response.json().catch(() => null)
  if (response.ok) return body
  const error = new Error(body?.error?.message ?? `the backend answered ${response.status}`)
  throw Object.assign(error, { status: response.status, code: body?.error?.code })
}
