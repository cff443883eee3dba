// What the storage says, in the words of HTTP.
import { StorageError } from 'flowkeep'

const STATUS = {
  STORAGE_INVALID: 400,
  STORAGE_NOT_FOUND: 404,
  STORAGE_CONFLICT: 409,
  STORAGE_EXISTS: 409,
  STORAGE_TRANSITION: 409,
  STORAGE_ARCHIVED: 409,
  STORAGE_CAPACITY: 429,
  STORAGE_UNAVAILABLE: 503,
  STORAGE_TIMEOUT: 503,
  STORAGE_CIRCUIT_OPEN: 503,
}

/** Fields of the subclasses of `StorageError` that help a client. */
const DETAILS = ['issues', 'current', 'from', 'to', 'limit', 'outcome']

/**
 * The answer to an error. Unknown ones are told without details: those are for the log, not for a stranger.
 * @param {any} error
 * @returns {{ status: number, retryAfter?: number, body: { error: Record<string, unknown> } }}
 */
export function toHttp(error) {
  const status =
    error instanceof StorageError ? STATUS[/** @type {keyof typeof STATUS} */ (error.code)] : undefined
  if (status === undefined) return foreign(error)
  const details = Object.fromEntries(
    DETAILS.filter((name) => error[name] !== undefined).map((name) => [name, error[name]]),
  )
  const body = { error: { code: error.code, message: error.message, retryable: error.retryable, ...details } }
  if (status !== 503) return { status, body }
  return { status, body, retryAfter: Math.max(1, Math.ceil((error.retryAfterMs ?? 0) / 1000)) }
}

/** Errors of the HTTP framework (a body that is no JSON, one that is too large) are the client's; all else is ours. */
function foreign(/** @type {any} */ error) {
  const status = error?.statusCode
  if (Number.isInteger(status) && status >= 400 && status < 500) {
    return {
      status,
      body: { error: { code: error.code ?? 'BAD_REQUEST', message: error.message, retryable: false } },
    }
  }
  return {
    status: 500,
    body: { error: { code: 'INTERNAL', message: 'something went wrong here', retryable: false } },
  }
}

/** @type {Parameters<import('fastify').FastifyInstance['setErrorHandler']>[0]} */
export function answerError(error, _request, reply) {
  const { status, retryAfter, body } = toHttp(error)
  if (status === 500) console.error(error)
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  reply.code(status).send(body)
}
