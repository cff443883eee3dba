import { ConflictError, TimeoutError } from './errors.js'
import type { CallOptions, StepUpdateOptions, UpdateOptions, Updater } from './types.js'

/** How often a function of the current record is called for one update, at the most. */
const UPDATER_CALLS = 100

function late(operation: string): TimeoutError {
  const message = 'the deadline passed before the update was made'
  const facts = { operation, message, retryable: true, attempts: 1, outcome: 'not-applied' } as const
  return new TimeoutError({ code: 'STORAGE_TIMEOUT', ...facts })
}

/** What the function gives, unless it takes longer than the call may. */
async function inTime(
  updater: Updater<object, object>,
  current: object,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<object> {
  const updates = updater(current)
  if (!isThenable(updates)) return updates
  let end = (): void => {}
  const ended = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(late('update')), Math.max(1, deadline - Date.now()))
    const abort = () => reject(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
  })
  try {
    return await Promise.race([updates, ended])
  } finally {
    end()
  }
}

function isThenable(value: unknown): value is PromiseLike<object> {
  try {
    return typeof (value as { then?: unknown } | null)?.then === 'function'
  } catch {
    return false
  }
}

/** Reads, asks the function, writes if the record is still the one that it saw; again if not. */
export async function updateBy(
  read: (options: CallOptions) => Promise<unknown>,
  write: (data: object, options: unknown) => Promise<unknown>,
  updater: Updater<object, object>,
  options: UpdateOptions | StepUpdateOptions | undefined,
  timeoutMs: number,
): Promise<unknown> {
  const deadline = Date.now() + (options?.timeoutMs ?? timeoutMs)
  // Judges the options, and finds a record that does not exist, as any update would.
  const { ifVersion, ...rest } = options ?? {}
  const { leaseSeconds: _, onLost: __, ...judged } = (options ?? {}) as StepUpdateOptions
  await write({}, options && judged)
  const { ifAttempt: ___, ifVersion: ____, ...reading } = judged
  let current = (await read(reading)) as { version: number } | null
  for (let called = 1; current; called++) {
    const updates = await inTime(updater, current, deadline, rest.signal)
    try {
      return await write(updates, { ...rest, ifVersion: ifVersion ?? current.version })
    } catch (error) {
      const lost = error instanceof ConflictError && error.code === 'STORAGE_CONFLICT'
      if (!lost || ifVersion !== undefined || called === UPDATER_CALLS) throw error
      if (Date.now() > deadline) throw late(error.operation)
      current = error.current as { version: number }
    }
  }
  return write({}, options && judged)
}
