// Records what a Fastify application is asked and answers: `app.register(recordRequests, { recorder })`.
import { bodyOf, headersOf } from './recorder.mjs'

/**
 * The request is recorded before its handler runs, so that one that never answers is there as well; the response when it
 * has been sent.
 * @param {import('fastify').FastifyInstance} app
 * @param {{ recorder: import('./recorder.mjs').Recorder }} options
 */
export async function recordRequests(app, { recorder }) {
  /** @type {WeakMap<object, (response: object) => void>} */
  const begun = new WeakMap()
  /** @type {WeakMap<object, unknown>} */
  const payloads = new WeakMap()

  app.addHook('preHandler', async (request) => {
    const { method, url } = request
    const headers = headersOf(request.headers)
    const body = bodyOf(request.body, headers['content-type'])
    begun.set(request, recorder.begin({ method, url, headers, ...(body === undefined ? {} : { body }) }))
  })
  app.addHook('onSend', async (request, _reply, payload) => {
    payloads.set(request, payload)
  })
  app.addHook('onResponse', async (request, reply) => {
    const headers = headersOf(reply.getHeaders())
    const body = bodyOf(payloads.get(request), headers['content-type'])
    begun.get(request)?.({ status: reply.statusCode, headers, ...(body === undefined ? {} : { body }) })
  })
  app.addHook('onClose', () => recorder.settled())
}

// The hooks are for the whole application, not for what is registered inside this plugin.
Object.assign(recordRequests, { [Symbol.for('skip-override')]: true })
