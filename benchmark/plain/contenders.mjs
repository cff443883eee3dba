/** Who does the work, each by its own means: queues, caches, streams. Every one answers with what it took. */
import { createRequire } from 'node:module'

/** What one job, value or entry is. */
export const payload = (/** @type {number} */ n) => ({
  n,
  user: `user-${n % 1_000}`,
  action: 'build',
  tags: ['a', 'b'],
})

const fields = (/** @type {number} */ n) => ({
  type: 'built',
  n: String(n),
  data: JSON.stringify(payload(n)),
})

/**
 * @typedef {object} Work
 * @property {(n: number) => Promise<unknown>} put
 * @property {(n: number) => Promise<unknown>} take of a queue the next one, of others that of this number
 * @property {(count: number, inFlight: number) => Promise<void>} [drain] takes so many by its own loop
 * @property {() => Promise<unknown>} close
 */

const { openStorage } = createRequire(import.meta.url)('../../dist/index.js')

const ours = (/** @type {string} */ url) =>
  openStorage({ backend: 'redis', url, prefix: 'ours:', timeoutMs: 30_000 })

async function ioredis(/** @type {string} */ url) {
  const { Redis } = await import('ioredis')
  return new Redis(url, { maxRetriesPerRequest: null })
}

/** @type {Record<string, Record<string, (url: string) => Promise<Work>>>} */
export const KINDS = {
  queue: {
    async 'flowkeep, pop'(url) {
      const storage = await ours(url)
      return {
        put: (n) => storage.queue.push('q', payload(n)),
        take: () => storage.queue.pop('q'),
        close: () => storage.close(),
      }
    },
    async 'flowkeep, reserve and ack'(url) {
      const storage = await ours(url)
      return {
        put: (n) => storage.queue.push('q', payload(n)),
        async take() {
          const item = await storage.queue.reserve('q')
          await item.ack()
          return item.data
        },
        close: () => storage.close(),
      }
    },
    async 'ioredis, LPUSH and BRPOP'(url) {
      const [calls, blocking] = [await ioredis(url), await ioredis(url)]
      return {
        put: (n) => calls.lpush('bare', JSON.stringify(payload(n))),
        take: async () => JSON.parse((await blocking.brpop('bare', 0))?.[1] ?? ''),
        close: () => Promise.all([calls.quit(), blocking.quit()]),
      }
    },
    async BullMQ(url) {
      const { Queue, Worker } = await import('bullmq')
      const connection = { url }
      const queue = new Queue('q', { connection, defaultJobOptions: { removeOnComplete: true, attempts: 5 } })
      await queue.waitUntilReady()
      return {
        put: (n) => queue.add('job', payload(n)),
        take: () => Promise.reject(new Error('it takes by its own worker')),
        async drain(count, inFlight) {
          let left = count
          let resolve = (_) => {}
          const promise = new Promise((done) => {
            resolve = done
          })
          const worker = new Worker('q', async ({ data }) => data.n, { connection, concurrency: inFlight })
          worker.on('completed', () => --left === 0 && resolve(undefined))
          await promise
          await worker.close()
        },
        close: () => queue.close(),
      }
    },
  },
  cache: {
    async flowkeep(url) {
      const storage = await ours(url)
      return {
        put: (n) => storage.cache.set(`k${n % 1_000}`, payload(n), { ttlSeconds: 60 }),
        take: (n) => storage.cache.get(`k${n % 1_000}`),
        close: () => storage.close(),
      }
    },
    async 'keyv + @keyv/redis'(url) {
      const [{ Keyv }, { default: KeyvRedis }] = [await import('keyv'), await import('@keyv/redis')]
      const cache = new Keyv({ store: new KeyvRedis(url), namespace: 'keyv' })
      return {
        put: (n) => cache.set(`k${n % 1_000}`, payload(n), 60_000),
        take: (n) => cache.get(`k${n % 1_000}`),
        close: () => cache.disconnect(),
      }
    },
    async 'cache-manager'(url) {
      const [{ createCache }, { Keyv }] = [await import('cache-manager'), await import('keyv')]
      const { default: KeyvRedis } = await import('@keyv/redis')
      const cache = createCache({ stores: [new Keyv({ store: new KeyvRedis(url), namespace: 'manager' })] })
      return {
        put: (n) => cache.set(`k${n % 1_000}`, payload(n), 60_000),
        take: (n) => cache.get(`k${n % 1_000}`),
        close: () => cache.disconnect(),
      }
    },
  },
  streams: {
    async flowkeep(url) {
      const storage = await ours(url)
      await storage.streams.createGroup('s', 'g', { after: 'start' })
      return {
        put: (n) => storage.streams.add('s', fields(n)),
        async take() {
          const [entry] = await storage.streams.readGroup('s', 'g', 'c', { limit: 1 })
          await storage.streams.ack('s', 'g', entry.id)
          return entry.fields
        },
        close: () => storage.close(),
      }
    },
    async ioredis(url) {
      const client = await ioredis(url)
      await client.xgroup('CREATE', 'bare:s', 'g', '0', 'MKSTREAM')
      return {
        put: (n) => client.xadd('bare:s', '*', ...Object.entries(fields(n)).flat()),
        async take() {
          /** @type {any} */
          const read = await client.xreadgroup('GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', 'bare:s', '>')
          const [id, list] = read[0][1][0]
          await client.xack('bare:s', 'g', id)
          const entry = /** @type {Record<string, string>} */ ({})
          for (let at = 0; at < list.length; at += 2) entry[list[at]] = list[at + 1]
          return entry
        },
        close: () => client.quit(),
      }
    },
  },
}
