// Server-sent events: the wire between the feed and one page.
import { Readable } from 'node:stream'
import { lastEventId, SSE_HEADERS, toStream } from 'flowkeep/sse'

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
  reply.hijack()
  const out = reply.raw
  out.writeHead(200, SSE_HEADERS)
  const messages = feed.follow(userId, lastEventId(request) ?? (cursor || undefined))
  const stream = toStream(messages, { message: (message) => message })
  const body = Readable.fromWeb(/** @type {any} */ (stream))
  out.once('close', () => body.destroy())
  body.on('error', () => out.destroy())
  body.pipe(out)
}
