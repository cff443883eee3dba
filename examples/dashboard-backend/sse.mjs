// Server-sent events: the wire between the feed and one page.

const HEARTBEAT_MS = 15_000
/** How long a browser waits before it connects again. */
const RETRY_MS = 1000

/**
 * `GET /api/users/:userId/feed`. `Last-Event-ID` (sent by browsers) or `?cursor=` resumes; without it the feed begins now.
 *
 * Messages: `hello` once, `changes` with events and the records they speak of, `status` when the storage's state changes.
 *
 * @param {import('./feed.mjs').Feed} feed
 * @param {string} instance
 * @param {import('fastify').FastifyRequest} request
 * @param {import('fastify').FastifyReply} reply
 */
export async function sendEvents(feed, instance, request, reply) {
  const { userId } = /** @type {{ userId: string }} */ (request.params)
  const { cursor: asked } = /** @type {{ cursor?: string }} */ (request.query)
  const last = request.headers['last-event-id'] ?? asked
  const { cursor, resumed } = await feed.begin(
    userId,
    typeof last === 'string' && last !== '' ? last : undefined,
  )

  const out = reply.raw
  if (out.destroyed) return reply.hijack()
  reply.hijack()
  out.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  const listener = {
    cursor,
    busy: () => out.writableNeedDrain,
    send: (/** @type {string} */ event, /** @type {object} */ data, /** @type {string | undefined} */ id) => {
      out.write(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    },
    end: () => out.end(),
  }
  out.write(`retry: ${RETRY_MS}\n\n`)
  listener.send('hello', { instance, resumed, now: new Date() }, cursor)

  const stop = feed.listen(userId, listener)
  const heart = setInterval(() => out.write(': still here\n\n'), HEARTBEAT_MS)
  out.once('close', () => {
    clearInterval(heart)
    stop()
  })
}
