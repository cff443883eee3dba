// One of several processes that read one queue, or compute one value. It opens the storage and says what it does.
import { createRequire } from 'node:module'

const { openStorage } = createRequire(import.meta.url)('../../dist/index.js')

const [url, prefix, task, name, ...rest] = process.argv.slice(2)
const storage = await openStorage({ backend: 'redis', url, prefix, timeoutMs: 20_000 })

const tasks = {
  /** Reads until the queue is closed and empty; says each item before it is acknowledged. */
  async consume() {
    const [leaseSeconds] = rest.map(Number)
    const say = (n) => new Promise((resolve) => process.send({ n }, resolve))
    const reader = async () => {
      for await (const item of storage.queue.consume(name, { leaseSeconds })) await say(item.data.n)
    }
    await Promise.all([reader(), reader()])
  },

  /** Many callers of one value. */
  async compute() {
    const [callers] = rest.map(Number)
    let computed = 0
    const compute = async () => {
      computed++
      await new Promise((resolve) => setTimeout(resolve, 150))
      return { by: process.pid }
    }
    process.send('ready')
    await new Promise((resolve) => process.once('message', resolve))
    const all = Array.from({ length: callers }, () =>
      storage.cache.getOrSet(name, compute, { ttlSeconds: 60 }),
    )
    const values = await Promise.all(all)
    process.send({ computed, values })
  },
}

await tasks[task]()
await storage.close()
process.disconnect?.()
