// Server-sent events: the wire between the feed and one page.

const HEARTBEAT_MS = 15_000
/** How long a browser waits before it connects again. */
const RETRY_MS = 1000

/**
 * `GET /api/users/:userId/feed`. `Last-Event-ID` (sent by browsers) or `?cursor=` resumes; without it the feed begins now.
 *
 * Messages: `hello` at the beginning, `changes` with events and the records they speak of, `status` when the storage's state changes.
 *
 * A storage that is away refuses nobody: the feed says so by `status`, and greets as soon as it is back.
 *
 * @param {import('./feed.mjs').Feed} feed
 * @param {import('fastify').FastifyRequest} request
 * @param {import('fastify').FastifyReply} reply
 */
export async function sendEvents(feed, request, reply) {
  const { userId } = /** @type {{ userId: string }} */ (request.params)
  const { cursor } = /** @type {{ cursor?: string }} */ (request.query)
  const last = request.headers['last-event-id'] ?? cursor
  reply.hijack()
  const out = reply.raw
  out.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  out.write(`retry: ${RETRY_MS}\n\n`)

  const stop = feed.listen(userId, {
    ...(typeof last === 'string' && last !== '' && { last }),
    busy: () => out.writableNeedDrain,
    send: (event, data, id) => {
      out.write(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    },
    end: () => out.end(),
  })
  const heart = setInterval(() => out.write(': still here\n\n'), HEARTBEAT_MS)
  out.once('close', () => {
    clearInterval(heart)
    stop()
  })
}
