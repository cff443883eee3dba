// The live connection. EventSource resumes by itself with Last-Event-ID; only a refusal must be repeated from here.

const TRY_AGAIN_MS = 2000

/**
 * @param {string} userId
 * @param {{ hello(message), changes(message), status(message), connection(state: 'live' | 'reconnecting' | 'refused') }} on
 */
export function follow(userId, on) {
  const source = new EventSource(`/api/users/${encodeURIComponent(userId)}/feed`)
  for (const name of ['hello', 'changes', 'status']) {
    source.addEventListener(name, (event) => on[name](JSON.parse(event.data)))
  }
  source.addEventListener('open', () => on.connection('live'))
  source.addEventListener('error', () => {
    const refused = source.readyState === EventSource.CLOSED
    on.connection(refused ? 'refused' : 'reconnecting')
    if (refused) setTimeout(() => follow(userId, on), TRY_AGAIN_MS)
  })
}
