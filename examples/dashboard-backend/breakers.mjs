// The backend's circuit breakers over REST: how they are, and orders to them.

/** Changes of each breaker that are shown. */
const CHANGES = 5
/** What a page may order. */
const ORDERS = ['isolate', 'reset']

/**
 * @param {import('fastify').FastifyInstance} app
 * @param {import('./estimates.mjs').Estimates} estimates
 */
export function breakerRoutes(app, estimates) {
  const breakers = new Map([[estimates.breaker.name, estimates]])

  app.get('/api/breakers', async () => ({
    items: await Promise.all([...breakers.values()].map(shown)),
  }))

  app.post('/api/breakers/:name/:order', async (request, reply) => {
    const { name, order } = /** @type {{ name: string, order: 'isolate' | 'reset' }} */ (request.params)
    const found = breakers.get(name)
    if (found === undefined || !ORDERS.includes(order)) return reply.callNotFound()
    // Reason, actor, for how long: the storage judges them.
    await found.breaker[order](/** @type {import('flowkeep').BreakerOrder} */ (request.body ?? {}))
    return shown(found)
  })

  // A real service is not told how to fail; this one is, so that its breaker has something to do.
  app.put('/api/upstream', async (request, reply) => {
    const { mode } = /** @type {{ mode?: unknown }} */ (request.body ?? {})
    const { ok, body } = await estimates.tell(typeof mode === 'string' ? mode : '')
    if (ok) return body
    const error = { code: 'NO_SUCH_MODE', message: body.error, retryable: false }
    return reply.code(400).send({ error })
  })
}

async function shown(/** @type {import('./estimates.mjs').Estimates} */ { breaker, latest, mode }) {
  const [state, metrics, changes] = await Promise.all([
    breaker.state(),
    breaker.metrics(),
    breaker.history({ limit: CHANGES }),
  ])
  return { ...state, metrics, changes, latest, mode }
}
