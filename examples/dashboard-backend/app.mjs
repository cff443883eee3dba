// The whole HTTP application around a given storage: routes, live feed, page, and what guards them.
import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import { breakerRoutes } from './breakers.mjs'
import { answerError } from './errors.mjs'
import { Feed } from './feed.mjs'
import { DEMO_USER } from './recordings.mjs'
import { routes } from './routes.mjs'
import { sendEvents } from './sse.mjs'
import { page } from './static.mjs'

/** A JSON value may have 1 MiB in the storage; a request holds several. */
const BODY_LIMIT = 4 * 1024 * 1024
const LOOPBACK_ADDRESS = /^(127\.|::1$|::ffff:127\.)/
const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]']

/**
 * @param {import('flowkeep').IStorage} storage
 * @param {{ recordings?: import('./recordings.mjs').Recordings, estimates?: import('./estimates.mjs').Estimates,
 *   outage?: import('./outage.mjs').Outage }} [options]
 */
export function buildApp(storage, { recordings, estimates, outage } = {}) {
  const app = Fastify({
    bodyLimit: BODY_LIMIT,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 1024 },
  })
  // Tells a page that the backend is another one than before: with memory, everything it shows is gone.
  const instance = randomUUID()
  const feed = new Feed(storage, instance, outage)

  app.setErrorHandler(answerError)
  app.setNotFoundHandler((_request, reply) => {
    reply.code(404).send({
      error: { code: 'NO_SUCH_ROUTE', message: 'there is nothing at this address', retryable: false },
    })
  })
  app.addHook('onRequest', guard)
  app.addHook('preClose', async () => feed.close())

  app.get('/api/status', async () => ({
    ...(await storage.status()),
    instance,
    demoUser: DEMO_USER,
    recording: recordings?.active ?? false,
    listeners: feed.listeners,
  }))
  app.get('/api/users/:userId/feed', (request, reply) => sendEvents(feed, request, reply))
  app.post('/api/record', async (_request, reply) => {
    if (recordings === undefined) return reply.callNotFound()
    return reply.code(202).send(await recordings.again())
  })
  app.put('/api/outage', async (request, reply) => {
    if (outage === undefined) return reply.callNotFound()
    outage.turn(/** @type {{ on?: unknown } | null} */ (request.body)?.on === true)
    return outage.look()
  })
  routes(app, storage)
  if (estimates !== undefined) breakerRoutes(app, estimates)
  page(app)
  return app
}

/**
 * The backend has no login, so only its own page and programs on this machine may use it:
 * a foreign site could otherwise send requests through the visitor's browser.
 * @type {import('fastify').onRequestAsyncHookHandler}
 */
async function guard(request, reply) {
  const host = request.headers.host ?? ''
  const origin = request.headers.origin
  const foreignName =
    LOOPBACK_ADDRESS.test(request.socket.localAddress ?? '') &&
    !LOOPBACK_NAMES.includes(host.replace(/:\d+$/, ''))
  const foreignPage = origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`
  if (foreignName || (foreignPage && request.method !== 'GET')) {
    return reply.code(403).send({
      error: {
        code: 'FOREIGN_ORIGIN',
        message: 'this backend answers its own page only',
        retryable: false,
      },
    })
  }
}
