/**
 * What a page of a user's sessions costs as the user gets more of them, and what a session, a chain and a step weigh in
 * Redis: `node benchmark/pages.mjs redis://localhost:6379/9 100 10000 1000000`. The database is emptied.
 */
import { createConnection } from 'node:net'
import { openStorage } from '../dist/index.js'

const [url = '', ...counts] = process.argv.slice(2)
if (!url) throw new Error('usage: node benchmark/pages.mjs <redis url> <sessions> ...')

const SAMPLES = 300
const AT_ONCE = 1_000

/** @param {string[]} command */
async function redis(...command) {
  const { hostname, port, pathname } = new URL(url)
  const socket = createConnection(Number(port || 6379), hostname)
  const line = (/** @type {string[]} */ parts) =>
    `*${parts.length}\r\n${parts.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join('')}`
  socket.write(line(['SELECT', pathname.slice(1) || '0']) + line(command) + line(['QUIT']))
  let text = ''
  for await (const bytes of socket) text += bytes
  return text.split('\r\n')[1] === undefined ? text : text.slice(text.indexOf('\r\n') + 2)
}

async function usedMemory() {
  return Number(/used_memory:(\d+)/.exec(await redis('INFO', 'memory'))?.[1])
}

/** @param {() => Promise<unknown>} ask median of one call after another, in microseconds */
async function median(ask) {
  const times = []
  for (let n = 0; n < SAMPLES; n++) {
    const from = process.hrtime.bigint()
    await ask()
    times.push(Number(process.hrtime.bigint() - from) / 1_000)
  }
  return Math.round(times.sort((a, b) => a - b)[SAMPLES / 2] ?? 0)
}

const storage = await openStorage({ backend: 'redis', url, timeoutMs: 60_000, sweepSeconds: 0 })
await redis('FLUSHDB')
const data = { title: 'a session of a user', tags: ['bench'], metadata: { page: '/runs', n: 1 } }
for (const count of counts.map(Number)) {
  await redis('FLUSHDB')
  for (let made = 0; made < count; made += AT_ONCE) {
    const batch = Math.min(AT_ONCE, count - made)
    await Promise.all(Array.from({ length: batch }, () => storage.createSession('one user', data)))
  }
  const middle = (await storage.querySessions({ parent: 'one user', limit: 50 })).cursor ?? undefined
  const page = { parent: 'one user', limit: 20 }
  const rest = middle === undefined ? page : { ...page, cursor: middle }
  console.log(
    `${count} sessions: page of 20 from the start ${await median(() => storage.querySessions(page))} us, ` +
      `behind a cursor ${await median(() => storage.querySessions(rest))} us, ` +
      `with two fields ${await median(() => storage.querySessions({ ...page, fields: ['title', 'state'] }))} us, ` +
      `none in the state ${await median(() => storage.querySessions({ ...page, state: 'completed' }))} us, ` +
      `counts ${await median(() => storage.sessionCounts('one user'))} us`,
  )
}

await redis('FLUSHDB')
const WEIGHED = 2_000
const weigh = async (/** @type {string} */ name, /** @type {(n: number) => Promise<unknown>} */ make) => {
  const before = await usedMemory()
  await Promise.all(Array.from({ length: WEIGHED }, (_, n) => make(n)))
  console.log(`${name}: ${Math.round(((await usedMemory()) - before) / WEIGHED)} bytes, events included`)
}
/** @type {string[]} */
const sessions = []
/** @type {string[]} */
const chains = []
await weigh('a session', async (n) =>
  sessions.push((await storage.createSession(`user ${n}`, data)).sessionId),
)
await weigh('a chain', async (n) =>
  chains.push((await storage.createChain(sessions[n] ?? '', { title: 'a chain of steps' })).chainId),
)
await weigh('a step', (n) =>
  storage.createStep(chains[n] ?? '', { action: 'cargo build', inputs: { release: true } }),
)
await redis('FLUSHDB')
await storage.close()
