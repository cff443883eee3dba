// Makes many calls in a process of its own and tells how much memory it holds: after a warm-up, and at the end.
import { createRequire } from 'node:module'

const { openStorage } = createRequire(import.meta.url)('../../dist/index.js')

const [url, prefix] = process.argv.slice(2)
const AT_A_TIME = 100

async function many(count, one) {
  for (let n = 0; n < count; n += AT_A_TIME) {
    await Promise.all(Array.from({ length: AT_A_TIME }, (_, at) => one(n + at)))
    // Timers and collections get their turn.
    if (n % 1_000 === 0) await new Promise(setImmediate)
  }
}

/** What is held once nothing is left to be collected, in MiB. */
async function held() {
  for (let n = 0; n < 5; n++) {
    global.gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return process.memoryUsage().rss / 2 ** 20
}

async function grows(count, one) {
  // V8 gives its young generation more room once, after a million calls or so.
  await many(Math.ceil(count * 1.5), one)
  const before = await held()
  await many(count, one)
  return { before, after: await held() }
}

process.on('message', async ({ task, count }) => {
  const logger = { info: () => undefined }
  const resilience = {
    onUnavailable: task === 'refused' ? 'reject' : 'journal',
    breaker: { openMs: 3_600_000, longestOpenMs: 3_600_000 },
  }
  const storage = await openStorage({ backend: 'redis', url, prefix, logger, resilience })
  const ids = []
  for (let n = 0; n < 20; n++)
    ids.push((await storage.createSession(`user-${n}`, { title: 'here' })).sessionId)
  const id = (n) => ids[n % ids.length]
  const works = (n) =>
    n % 2
      ? storage.getSession(id(n))
      : storage.updateSession(id(n), { metadata: { n } }, { timeoutMs: 60_000 })
  let refused = 0
  const fails = (n) =>
    (n % 2 ? storage.getSession(id(n)) : storage.updateSession(id(n), { title: `${n}` })).catch((error) => {
      if (error.code === 'STORAGE_CIRCUIT_OPEN') refused++
    })
  if (task === 'refused') {
    await new Promise((gone) => process.send('kill the server', gone))
    while ((await storage.status()).breaker.state !== 'open') await fails(0)
  }
  const figures = await grows(count, task === 'refused' ? fails : works)
  process.send({ ...figures, refused }, async () => {
    await storage.close()
    process.disconnect()
  })
})
process.send('open')
