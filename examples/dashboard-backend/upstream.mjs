// A service that the dashboard depends on: it guesses how long a chain takes. It can be told to fail or to be slow.
// Usage: node upstream.mjs      (PORT, 0 for any)
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** What it can be told: to answer, to answer with 500, to take its time. */
export const MODES = ['works', 'fails', 'is slow']

const SECONDS_PER_STEP = 0.4
const SLOW_MS = 700
/** A mode is a few letters. */
const BODY_LIMIT = 100

/**
 * `GET /estimate?steps=8` gives `{ seconds }`; `GET /mode` and `PUT /mode` (a text of `MODES`) say and set how it answers.
 * @param {{ host?: string, port?: number }} [place]
 */
export async function startUpstream({ host = '127.0.0.1', port = 0 } = {}) {
  let mode = 'works'
  /** @param {import('node:http').IncomingMessage} request @returns {Promise<[number, object]>} */
  async function answer(request) {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://upstream')
    if (pathname === '/mode') {
      const wanted = request.method === 'PUT' ? await textOf(request) : mode
      if (!MODES.includes(wanted)) return [400, { error: `the mode is one of: ${MODES.join(', ')}` }]
      mode = wanted
      return [200, { mode }]
    }
    if (pathname !== '/estimate') return [404, { error: 'there is nothing at this address' }]
    if (mode === 'is slow') await sleep(SLOW_MS)
    if (mode === 'fails') return [500, { error: 'the estimates are out of order' }]
    return [200, { seconds: Math.round(Number(searchParams.get('steps')) * SECONDS_PER_STEP * 10) / 10 }]
  }
  const server = createServer((request, response) => {
    answer(request).then(
      ([status, body]) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      () => response.destroy(),
    )
  })
  server.listen(port, host)
  await once(server, 'listening')
  const place = /** @type {import('node:net').AddressInfo} */ (server.address())
  return {
    url: `http://${host}:${place.port}`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

async function textOf(/** @type {import('node:http').IncomingMessage} */ request) {
  let text = ''
  for await (const chunk of request) {
    text += chunk
    if (text.length > BODY_LIMIT) break
  }
  return text
}

if (process.argv[1] === import.meta.filename) {
  console.log((await startUpstream({ port: Number(process.env.PORT || 0) })).url)
}
