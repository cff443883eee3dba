// One of several processes that work on the same records. It opens the storage, says that it is ready,
// waits for its task, does it, answers, and ends.
import { createRequire } from 'node:module'

const { openStorage } = createRequire(import.meta.url)('../../dist/index.js')

const rounds = (count) => Array.from({ length: count }, (_, round) => round)

const tasks = {
  /** Writes one field of a record again and again, each time with another value. */
  async updateField(storage, { method, id, field, values }) {
    let last
    for (const value of values) last = await storage[method](id, { [field]: value })
    return last.version
  },

  /** Adds a key of its own to the record's JSON, again and again, by a function of the present record. */
  async addKey(storage, { method, id, field, key, count }) {
    for (const round of rounds(count)) {
      await storage[method](id, (current) => ({ [field]: { ...current[field], [key]: round + 1 } }))
    }
  },

  /** Adds one to a counter that all processes share. */
  async increment(storage, { id, count }) {
    for (const _ of rounds(count)) {
      await storage.updateSession(id, ({ metadata }) => ({ metadata: { n: (metadata.n ?? 0) + 1 } }))
    }
  },

  /** Brings all given steps to a status at once. */
  async moveSteps(storage, { stepIds, status }) {
    await Promise.all(stepIds.map((id) => storage.updateStep(id, { status })))
  },

  async createSteps(storage, { chainId, count }) {
    const made = await Promise.all(
      rounds(count).map((n) => storage.createStep(chainId, { action: `step ${n}` })),
    )
    return made.map((step) => step.stepId)
  },

  async createChains(storage, { sessionId, count }) {
    const made = await Promise.all(
      rounds(count).map((n) => storage.createChain(sessionId, { title: `chain ${n}` })),
    )
    return made.map((chain) => chain.chainId)
  },

  /** Creates one record of each kind, with a key that the other processes use as well. */
  async createOnce(storage, { userId, sessionId, chainId, idempotencyKey }) {
    const options = { idempotencyKey }
    const [session, chain, step] = await Promise.all([
      storage.createSession(userId, { title: 'once' }, options),
      storage.createChain(sessionId, { title: 'once' }, options),
      storage.createStep(chainId, { action: 'once' }, options),
    ])
    return [session.sessionId, chain.chainId, step.stepId]
  },
}

const [url, prefix] = process.argv.slice(2)
const storage = await openStorage({ backend: 'redis', url, prefix, timeoutMs: 20_000 })
await storage.listSessions('warm-up')
process.on('message', async ({ task, args }) => {
  let answer
  try {
    answer = { value: await tasks[task](storage, args) }
  } catch (error) {
    answer = { error: `${error.name} ${error.code}: ${error.message}` }
  }
  process.send(answer)
  await storage.close()
  process.disconnect()
})
process.send('ready')
