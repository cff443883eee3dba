import { NotFoundError, StorageError, TimeoutError } from './errors.js'
import type { CallOptions } from './types.js'

/** The pauses between two looks, in ms: short at first. */
const FIRST_PAUSE_MS = 5
const LONGEST_PAUSE_MS = 250

interface Ending {
  readonly status: string
}

const ENDS: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled'])

/** Waits so long, or until the signal says to stop. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', abort, { once: true })
  })
}

const FACTS = { operation: 'waitForTerminal', attempts: 1, outcome: 'not-applied' } as const

function late(): TimeoutError {
  const message = 'the deadline passed before the chain was at its end'
  return new TimeoutError({ ...FACTS, code: 'STORAGE_TIMEOUT', message, retryable: true })
}

function missing(): NotFoundError {
  const message = 'there is no such chain, or no longer'
  return new NotFoundError({ ...FACTS, code: 'STORAGE_NOT_FOUND', message, retryable: false })
}

/**
 * Looks again and again until what it looks at is at its end. A look that fails for now is made again, as long as
 * there is time: the first one tells whether it can be asked for at all.
 */
export async function untilTerminal<R extends Ending>(
  look: (options: CallOptions) => Promise<R | null>,
  options: CallOptions = {},
): Promise<R> {
  let found = await look(options)
  const { signal, timeoutMs } = options
  const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs
  for (let ms = FIRST_PAUSE_MS; ; ms = Math.min(ms * 2, LONGEST_PAUSE_MS)) {
    if (found === null) throw missing()
    if (ENDS.has(found.status)) return found
    const left = deadline - Date.now()
    if (left <= 0) throw late()
    await pause(Math.min(ms, left), signal)
    try {
      found = await look(signal ? { signal } : {})
    } catch (error) {
      if (!(error instanceof StorageError && error.retryable)) throw error
    }
  }
}
