import type { FeedItem, ListenOptions, SubscribeQuery } from './feed-types.js'
import type { Subscription } from './subscription.js'

/**
 * Calls a function for each event of a type, one after the other, from now on; `'*'` is every type and every gap. Gives the
 * function that ends it.
 */
export function listen(
  subscribe: (query: SubscribeQuery) => Subscription<FeedItem>,
  type: unknown,
  listener: (item: never) => unknown,
  options: ListenOptions = {},
): () => void {
  const { onError = warn, keepAlive = false, sessionId, userId, signal } = options
  const whose = sessionId === undefined && userId === undefined ? { all: true } : { sessionId, userId }
  const given = Object.entries({ ...whose, signal }).filter(([, value]) => value !== undefined)
  const types = type === '*' ? {} : { types: [type] }
  const query = { ...Object.fromEntries(given), ...types, after: 'now', keepAlive } as SubscribeQuery
  const feed = subscribe(query)
  const tell = async (): Promise<void> => {
    for await (const item of feed) {
      // A gap is no event of any one type.
      if (type === '*' || item.type !== 'gap') await listener(item as never)
    }
  }
  tell().catch((error: unknown) => {
    if (!signal?.aborted) onError(error)
  })
  return () => void feed.return()
}

/** Nobody else would hear of it. */
function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error))
}
