// A process that keeps writes in a file while its server is away, and may be killed at any moment. It tells each
// acknowledged write at once.
import { copyFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const { openStorage } = createRequire(import.meta.url)('../../dist/index.js')

const [url, prefix, path] = process.argv.slice(2)
const storage = await openStorage({
  backend: 'redis',
  url,
  prefix,
  logger: { info: () => undefined },
  resilience: { journal: { path, fsync: 'always' } },
})
const told = []
storage.on('journalError', (notice) => told.push(notice))

const tell = (message) => new Promise((sent) => process.send(message, sent))

const tasks = {
  /** Writes to sessions that it has seen, several writers at a time, until it is killed. */
  async write({ sessionIds, from }) {
    for (const id of sessionIds) while (!(await storage.getSession(id).catch(() => undefined)));
    await tell('ready')
    let n = from
    await Promise.all(
      sessionIds.map(async (id) => {
        for (;;) {
          const mine = n++
          try {
            const event = await storage.appendEvent(id, { type: 'custom:n', data: { n: mine } })
            void tell({ id, n: mine, fate: event.pending ? 'pending' : 'ok' })
          } catch (error) {
            void tell({ id, n: mine, fate: error.outcome })
          }
        }
      }),
    )
  },

  /** Pushes to a queue, and adds to a stream, while the server is away. */
  async push({ from, count }) {
    while ((await storage.status()).state !== 'degraded')
      await storage.kv.get('none', { timeoutMs: 200 }).catch(() => undefined)
    await tell('ready')
    for (let n = from; n < from + count; n++) {
      await Promise.all([storage.queue.push('kept', { n }), storage.streams.add('kept', { n: String(n) })])
      await tell({ n })
    }
  },

  /** Only opens the storage, which brings what is kept. */
  async bring() {
    await tell('ready')
  },

  /** Writes until the disk is full, and tells what it saw then. */
  async fill({ sessionId, copy }) {
    while (!(await storage.getSession(sessionId).catch(() => undefined)));
    await tell('ready')
    const ask = () => storage.getSession(sessionId, { timeoutMs: 200 }).catch(() => undefined)
    while ((await storage.status()).state !== 'degraded') await ask()
    const fates = []
    while (fates.filter((fate) => fate !== 'pending').length < 3) {
      const data = { n: fates.length, filling: 'x'.repeat(1_000) }
      try {
        const event = await storage.appendEvent(sessionId, { type: 'custom:n', data })
        fates.push(event.pending ? 'pending' : 'ok')
      } catch (error) {
        fates.push(`${error.code} ${error.outcome}`)
      }
    }
    const { journal } = await storage.status()
    await storage.close()
    copyFileSync(path, copy)
    await tell({ fates, failed: journal.failed, told: told.map(({ reason }) => reason) })
    process.disconnect()
  },
}

process.on('message', ({ task, args }) => void tasks[task](args))
process.send('open')
