// Sessions, chains, steps and events over REST. The storage judges every value, so the routes only carry them.

/** The three kinds of records, and where each stands below its parent. */
const KINDS = [
  { kind: 'Session', parent: '/api/users/:parent/sessions', one: '/api/sessions', id: 'sessionId' },
  { kind: 'Chain', parent: '/api/sessions/:parent/chains', one: '/api/chains', id: 'chainId' },
  { kind: 'Step', parent: '/api/chains/:parent/steps', one: '/api/steps', id: 'stepId' },
]

/** @typedef {Partial<Record<string, string>>} Texts */
/** @typedef {import('fastify').FastifyRequest<{ Params: { parent: string, id: string }, Querystring: Texts }>} Request */

/**
 * @param {import('fastify').FastifyInstance} app
 * @param {any} storage an `IStorage`; its methods are found by the name of the kind
 */
export function routes(app, storage) {
  for (const { kind, parent, one, id } of KINDS) {
    app.post(parent, async (/** @type {Request} */ request, reply) => {
      const record = await storage[`create${kind}`](
        request.params.parent,
        bodyOf(request),
        createOptions(request),
      )
      return reply.code(201).header('location', `${one}/${record[id]}`).send(record)
    })
    app.get(parent, async (/** @type {Request} */ request) => ({
      items: await storage[`list${kind}s`](request.params.parent, listOptions(request.query)),
    }))
    app.get(`${one}/:id`, async (/** @type {Request} */ request, reply) => {
      const record = await storage[`get${kind}`](request.params.id)
      if (record !== null) return reply.header('etag', `"${record.version}"`).send(record)
      const message = `there is no ${kind.toLowerCase()} with this id`
      return reply.code(404).send({ error: { code: 'STORAGE_NOT_FOUND', message, retryable: false } })
    })
    app.patch(`${one}/:id`, async (/** @type {Request} */ request, reply) => {
      const record = await storage[`update${kind}`](
        request.params.id,
        bodyOf(request),
        updateOptions(request),
      )
      return reply.header('etag', `"${record.version}"`).send(record)
    })
    app.delete(`${one}/:id`, async (/** @type {Request} */ request, reply) => {
      await storage[`delete${kind}`](request.params.id)
      return reply.code(204).send()
    })
  }
  for (const parent of ['session', 'user']) {
    app.get(`/api/${parent}s/:parent/events`, async (/** @type {Request} */ request) =>
      storage.events({ [`${parent}Id`]: request.params.parent, ...eventQuery(request.query) }),
    )
  }
}

/** A request without a body is one without fields; anything else, `null` too, is the storage's to judge. */
function bodyOf(/** @type {Request} */ { body }) {
  return body === undefined ? {} : body
}

/** `Idempotency-Key: <text>`: a repeated request creates nothing new. */
function createOptions(/** @type {Request} */ { headers }) {
  const key = headers['idempotency-key']
  return key === undefined ? {} : { idempotencyKey: key }
}

/** `If-Match: "<version>"`, as `ETag` gave it: the update is refused if the record has moved on. */
function updateOptions(/** @type {Request} */ { headers }) {
  const match = /^(?:W\/)?"?(\d+)"?$/.exec(headers['if-match'] ?? '')
  return match === null ? {} : { ifVersion: Number(match[1]) }
}

function listOptions(/** @type {Texts} */ { limit, order }) {
  return { ...(limit !== undefined && { limit: Number(limit) }), ...(order !== undefined && { order }) }
}

/** `?after=` and `?before=` take a date or, below a session, the id of an event; `?types=` a comma list. */
function eventQuery(/** @type {Texts} */ { after, before, types, limit, cursor }) {
  return {
    ...(after !== undefined && { after: moment(after) }),
    ...(before !== undefined && { before: moment(before) }),
    ...(types !== undefined && { types: types.split(',') }),
    ...(limit !== undefined && { limit: Number(limit) }),
    ...(cursor !== undefined && { cursor }),
  }
}

function moment(/** @type {string} */ text) {
  return text.startsWith('evt_') ? text : new Date(text)
}
