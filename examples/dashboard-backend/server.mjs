// Starts the dashboard: storage by the environment, a recording of real commands, one line with the link.
import { openStorage } from 'flowkeep'
import { buildApp } from './app.mjs'
import { Estimates } from './estimates.mjs'
import { Outage } from './outage.mjs'
import { Recordings } from './recordings.mjs'
import { startUpstream } from './upstream.mjs'

/** A signal ends the process within this time, whatever hangs. */
const CLOSE_WITHIN_MS = 1000
/** How many ports above the wished one are tried. */
const PORTS_TO_TRY = 20

const host = process.env.HOST || '127.0.0.1'
const wished = Number(process.env.PORT || 3000)
if (!Number.isInteger(wished) || wished < 0 || wished > 65_535)
  fail(`PORT must be a number from 0 to 65535, not "${process.env.PORT}"`)

const warn = (/** @type {string} */ text) => console.error(text)
// In development the storage is inside the resilient stack even on memory, so that an outage can be tried out.
const develops = process.env.NODE_ENV !== 'production'
const resilience = develops ? { resilience: { chaos: {} } } : {}
const storage = await openStorage({ logger: { info: warn }, ...resilience }).catch((error) =>
  fail(error.message),
)
const recordings = new Recordings(storage)
// The service that is called through a circuit breaker: one of our own, unless another one is named.
const upstream = process.env.UPSTREAM_URL ? undefined : await startUpstream()
const estimates = new Estimates(storage.breakers, process.env.UPSTREAM_URL || (upstream?.url ?? ''))
const app = buildApp(storage, { recordings, estimates, ...(develops && { outage: new Outage(storage) }) })

let closing = false
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, close)

const port = await listen()
const { backend } = await storage.status()
const moved = wished !== 0 && port !== wished ? `, port ${wished} was taken` : ''
console.log(
  `flowkeep dashboard: http://${host.includes(':') ? `[${host}]` : host}:${port}/ (storage: ${backend}${moved})`,
)

// After the link, so that a storage that is slow or away still leaves a page that says so.
recordings.begin().catch((error) => warn(`nothing was recorded: ${error.message}`))
estimates.begin()

/** Listens on the wished port or on the next free one. */
async function listen() {
  const last = wished === 0 ? 0 : Math.min(wished + PORTS_TO_TRY, 65_535)
  for (let port = wished; ; port += 1) {
    try {
      await app.listen({ host, port })
      return /** @type {import('node:net').AddressInfo} */ (app.server.address()).port
    } catch (error) {
      if (error.code !== 'EADDRINUSE' || port >= last) fail(error.message)
    }
  }
}

async function close() {
  if (closing) process.exit(1)
  closing = true
  setTimeout(() => process.exit(1), CLOSE_WITHIN_MS).unref()
  await Promise.all([recordings.stop(), estimates.stop()])
  upstream?.close()
  await app.close()
  await storage.close()
}

/** @returns {never} */
function fail(/** @type {string} */ message) {
  console.error(message)
  process.exit(1)
}
