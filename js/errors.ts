import type { Json } from './generated/records.js'

/** What is known of the effect of a call that failed. */
export type ErrorOutcome = 'applied' | 'not-applied' | 'unknown'

/** One thing that is wrong with an input, in zod's shape. */
export interface Issue {
  readonly code: string
  readonly path: readonly (string | number)[]
  readonly message: string
  readonly [detail: string]: unknown
}

/** The facts of an error, as the engine tells them. */
export interface ErrorFacts {
  readonly code: string
  readonly message: string
  readonly operation: string
  readonly retryable: boolean
  readonly attempts: number
  readonly outcome: ErrorOutcome
  readonly cause?: unknown
  readonly issues?: readonly Issue[]
  readonly current?: unknown
  readonly from?: string
  readonly to?: string
  readonly retryAfterMs?: number
  readonly limit?: number
  readonly name?: string
}

/**
 * The base of every error of a storage. No stored value and no secret is in its text.
 *
 * As itself, with the code `STORAGE_INTERNAL`, it is a bug in this package.
 */
export class StorageError extends Error {
  /** Stable: match on it. */
  readonly code: string
  /** The method that failed, `createSession` for one. */
  readonly operation: string
  /** Whether the same call may succeed later, unchanged. */
  readonly retryable: boolean
  /** How often it was tried. */
  readonly attempts: number
  /** Whether anything was written. */
  readonly outcome: ErrorOutcome

  constructor(facts: ErrorFacts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.name = new.target.name
    this.code = facts.code
    this.operation = facts.operation
    this.retryable = facts.retryable
    this.attempts = facts.attempts
    this.outcome = facts.outcome
  }
}

/** `STORAGE_INVALID`: bad input. Every issue is told, and nothing was stored. */
export class ValidationError extends StorageError {
  readonly issues: readonly Issue[]

  constructor(facts: ErrorFacts) {
    super(facts)
    this.issues = facts.issues ?? []
  }
}

/** `STORAGE_NOT_FOUND`: what is to be changed, or the parent of what is to be made, does not exist. */
export class NotFoundError extends StorageError {}

/** `STORAGE_EXISTS`, `STORAGE_CONFLICT`, `STORAGE_TRANSITION`, `STORAGE_ARCHIVED`. */
export class ConflictError extends StorageError {
  /** The record as it is now. */
  readonly current: unknown
  /** Of a transition: the present state. */
  readonly from: string | undefined
  /** Of a transition: the state that was asked for. */
  readonly to: string | undefined

  constructor(facts: ErrorFacts) {
    super(facts)
    this.current = facts.current
    this.from = facts.from
    this.to = facts.to
  }
}

/** `STORAGE_UNAVAILABLE`: the backend can't be reached, and nothing known here answers. */
export class UnavailableError extends StorageError {
  /** When it may be worth trying again, in ms. */
  readonly retryAfterMs: number | undefined

  constructor(facts: ErrorFacts) {
    super(facts)
    this.retryAfterMs = facts.retryAfterMs
  }
}

/** `STORAGE_TIMEOUT`: the deadline passed. `outcome` is `unknown` if a write may have been sent. */
export class TimeoutError extends StorageError {}

/** `STORAGE_CIRCUIT_OPEN`: a circuit breaker lets nothing through now. */
export class CircuitOpenError extends StorageError {
  readonly circuit: string | undefined
  readonly retryAfterMs: number | undefined

  constructor(facts: ErrorFacts) {
    super(facts)
    this.circuit = facts.name
    this.retryAfterMs = facts.retryAfterMs
  }
}

/** `STORAGE_CAPACITY`: a stated limit is reached. */
export class CapacityError extends StorageError {
  readonly limit: number | undefined

  constructor(facts: ErrorFacts) {
    super(facts)
    this.limit = facts.limit
  }
}

/** `STORAGE_CONFIG`: the storage can't be opened or used as configured. */
export class ConfigError extends StorageError {}

/** `STORAGE_UNSUPPORTED`: what was asked for exists, but not here. */
export class UnsupportedError extends StorageError {}

/** `STORAGE_CORRUPT`: a stored record can't be read. */
export class CorruptError extends StorageError {}

/** `STORAGE_CLOSED`: the storage was closed. */
export class ClosedError extends StorageError {}

const CLASSES: Readonly<Record<string, new (facts: ErrorFacts) => StorageError>> = {
  STORAGE_INVALID: ValidationError,
  STORAGE_NOT_FOUND: NotFoundError,
  STORAGE_EXISTS: ConflictError,
  STORAGE_CONFLICT: ConflictError,
  STORAGE_TRANSITION: ConflictError,
  STORAGE_ARCHIVED: ConflictError,
  STORAGE_UNAVAILABLE: UnavailableError,
  STORAGE_TIMEOUT: TimeoutError,
  STORAGE_CIRCUIT_OPEN: CircuitOpenError,
  STORAGE_CAPACITY: CapacityError,
  STORAGE_CONFIG: ConfigError,
  STORAGE_UNSUPPORTED: UnsupportedError,
  STORAGE_CORRUPT: CorruptError,
  STORAGE_CLOSED: ClosedError,
}

/** The error that the engine's text `!{...}` tells; `revive` makes a record of `current`. */
export function errorOf(text: string, revive: (value: Json) => unknown): StorageError {
  return errorWith(JSON.parse(text.slice(1)) as Json, revive)
}

/** The same of the text's JSON. */
export function errorWith(told: Json, revive: (value: Json) => unknown): StorageError {
  const facts = told as unknown as ErrorFacts & { current?: Json }
  const current = facts.current === undefined ? undefined : revive(facts.current)
  return new (CLASSES[facts.code] ?? StorageError)({ ...facts, current })
}
