// One of several processes that call through the same breaker. For every round its parent says when: it makes many
// calls at once, none of which ends, says how many were let through, and lets them fail when it is told to.
import { createRequire } from 'node:module'

const { openStorage } = createRequire(import.meta.url)('../../dist/index.js')

const [url, prefix, text] = process.argv.slice(2)
const storage = await openStorage({ backend: 'redis', url, prefix })
const breaker = storage.breakers.get('shared', JSON.parse(text))
let end = () => {}

async function round(callers) {
  let started = 0
  let decided = 0
  const ended = new Promise((_, reject) => {
    end = () => reject(new Error('down'))
  })
  ended.catch(() => {})
  await new Promise((resolve) => {
    const decide = () => {
      if (++decided === callers) resolve()
    }
    for (let caller = 0; caller < callers; caller++) {
      const run = () => {
        started++
        decide()
        return ended
      }
      breaker.call(run).catch((error) => {
        if (error.code === 'STORAGE_CIRCUIT_OPEN') decide()
        else if (error.message !== 'down') process.send({ error: String(error) })
      })
    }
  })
  return started
}

process.on('message', async ({ callers, fail, close }) => {
  if (callers) process.send({ started: await round(callers) })
  if (fail) {
    end()
    process.send({ failed: true })
  }
  if (close) {
    await storage.close()
    process.disconnect()
  }
})
process.send({ ready: true })
