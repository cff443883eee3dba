// Server-sent events over a feed: what `EventSource` of a browser reads and resumes by itself.

/** One message of a stream. */
export interface Message {
  /** Comes back as `Last-Event-ID` when the client resumes. */
  readonly id?: string | undefined
  /** What the client listens for; without it `message`. */
  readonly event?: string | undefined
  /** Sent as JSON. */
  readonly data: unknown
}

/** A feed to be sent: a `Subscription`, or anything that can be iterated. */
export interface Feed<Item> extends AsyncIterable<Item> {
  /** The place behind the last item that was given out. */
  readonly cursor?: string | undefined
}

/** How a feed is sent. */
export interface SseOptions<Item> {
  /** What an item becomes; `undefined` leaves it out. Without it: its `type` as the event, the item as data, the cursor as id. */
  readonly message?: (item: Item, cursor: string | undefined) => Message | undefined
  /** A comment is sent so often, so that nobody on the way takes the connection for dead. 15 unless given. */
  readonly heartbeatSeconds?: number
  /** How long the client waits before it connects again, in ms. 1,000 unless given. */
  readonly retryMs?: number
  /** Headers beside those of a stream. */
  readonly headers?: Readonly<Record<string, string>>
}

/** The headers of a stream of events. */
export const SSE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
}

/** Where a client that reconnects stopped: its `Last-Event-ID`. Takes a web `Request`, or the headers of Node's `http`. */
export function lastEventId(request: {
  readonly headers: { get(name: string): string | null } | Readonly<Record<string, unknown>>
}): string | undefined {
  const { headers } = request
  const found =
    typeof headers.get === 'function'
      ? headers.get('last-event-id')
      : (headers as Record<string, unknown>)['last-event-id']
  return typeof found === 'string' && found !== '' ? found : undefined
}

/**
 * A web `Response` that sends a feed. Items are taken only as fast as the client reads them, and the feed ends when the
 * client goes. When the feed ends by itself a message `end` is sent, and `failure` with `{ code, message }` when it fails:
 * a client that does not want to connect again closes its `EventSource` then.
 */
export function toResponse<Item>(feed: Feed<Item>, options: SseOptions<Item> = {}): Response {
  const headers = { ...SSE_HEADERS, ...options.headers }
  return new Response(toStream(feed, options), { headers })
}

/** The body of that response, for servers that know no `Response`: `Readable.fromWeb(toStream(feed)).pipe(res)`. */
export function toStream<Item>(feed: Feed<Item>, options: SseOptions<Item> = {}): ReadableStream<Uint8Array> {
  const { heartbeatSeconds = 15, retryMs = 1000, message = plain } = options
  const items = feed[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  let heart: NodeJS.Timeout | undefined
  const stop = (): void => clearInterval(heart)
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        controller.enqueue(encoder.encode(`retry: ${retryMs}\n\n`))
        heart = setInterval(() => {
          // Who does not read needs no sign of life.
          if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(':\n\n'))
        }, heartbeatSeconds * 1000)
        heart.unref()
      },
      async pull(controller) {
        const send = (next: Message) => controller.enqueue(encoder.encode(text(next)))
        try {
          for (;;) {
            const { value, done } = await items.next()
            if (done) {
              send({ event: 'end', data: {} })
              break
            }
            const next = message(value, feed.cursor)
            if (!next) continue
            send(next)
            return
          }
        } catch (error) {
          const { code = 'INTERNAL', message: words = '' } = (error ?? {}) as {
            code?: unknown
            message?: unknown
          }
          send({ event: 'failure', data: { code, message: words } })
        }
        stop()
        controller.close()
      },
      async cancel() {
        stop()
        await items.return?.()
      },
    },
    { highWaterMark: 1 },
  )
}

function plain(item: unknown, cursor: string | undefined): Message {
  const { type } = (item ?? {}) as { type?: unknown }
  return { id: cursor, event: typeof type === 'string' ? type : undefined, data: item }
}

/** A message on the wire. JSON has no line feed, and what stands in front of it loses its own. */
function text({ id, event, data }: Message): string {
  const line = (name: string, value: string | undefined) =>
    value === undefined ? '' : `${name}: ${value.replaceAll(/[\r\n\0]/g, '')}\n`
  return `${line('id', id)}${line('event', event)}data: ${JSON.stringify(data ?? null)}\n\n`
}
