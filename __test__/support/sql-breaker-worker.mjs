// One of several processes that order the same breaker about. Its parent says where, and when to begin.
import { createRequire } from 'node:module'

const { SqlBreakers } = createRequire(import.meta.url)('../../dist/index.js')

/** Whoever is first writes; the others find a later state and try again. */
process.on('message', async ({ url, prefix, orders }) => {
  if (url === undefined) return process.disconnect()
  const breakers = new SqlBreakers({ url, prefix, timeoutMs: 60_000 })
  try {
    const breaker = breakers.get('shared')
    const actor = String(process.pid)
    for (let n = 0; n < orders; n++) {
      const { storeAway } = await (n % 2 === 0 ? breaker.isolate({ actor }) : breaker.reset({ actor }))
      if (storeAway) throw new Error('the database was away')
    }
    process.send({ done: true })
  } catch (error) {
    process.send({ error: String(error) })
  } finally {
    await breakers.close()
  }
})
process.send({ done: true })
