import type { CallOptions } from './types.js'

/** What a breaker does with calls: lets them through, does not, lets a few through; or what somebody ordered. */
export type BreakerState = 'closed' | 'open' | 'half_open' | 'isolated' | 'disabled'

/** A rule that opens a breaker. */
export type BreakerStrategy = 'consecutive_failures' | 'percentage_failures' | 'rolling_window' | 'slow_calls'

/** A rule of the caller's own: asked after every call; `true` opens the breaker. */
export type CustomStrategy = (metrics: BreakerMetrics) => boolean

/** Errors by their class, or by their `code` or `name`. */
export type ErrorMatch = (abstract new (...args: never[]) => unknown) | string

/** How a breaker is to be. Every number may be a fraction; what is absent comes from the preset. */
export interface BreakerConfig {
  /** Who calls. Breakers of one name and different contexts are different. */
  readonly context?: string
  /** What is called. */
  readonly boundary?: string
  /** `fuse`: 5 failures in a row, 2 successes, 60 s. `connexions`: 60 % of at least 3, 1 success, 60 s. */
  readonly preset?: 'fuse' | 'connexions'
  /** One rule, several (any of them opens it), or one of the caller's own. */
  readonly strategy?: BreakerStrategy | readonly BreakerStrategy[] | CustomStrategy
  /** Failures that open it: in a row, or for `rolling_window` within the window. */
  readonly failureThreshold?: number
  /** Successful probes that close it. */
  readonly successThreshold?: number
  /** How long it stays open. */
  readonly openSeconds?: number
  /** What that time is multiplied with for every opening that no closing came between: 1 unless given. */
  readonly openGrowth?: number
  /** The longest that it stays open, before jitter. */
  readonly maxOpenSeconds?: number
  /** How far the time is spread: 0.1 is 90 to 110 %. 0 unless given. */
  readonly jitter?: number
  /** The length of the window. Results leave it up to a hundredth of that early. */
  readonly samplingSeconds?: number
  /** A window of so many calls (1 to 10,000) instead. */
  readonly samplingCalls?: number
  /** Calls in the window from which on a percentage counts. */
  readonly minimumThroughput?: number
  /** Failures in the window, in percent, that open it: equal is enough. */
  readonly percentageThreshold?: number
  /** A call that takes at least so long is slow. */
  readonly slowCallSeconds?: number
  /** Slow calls in the window, in percent, that open it; `percentageThreshold` unless given. */
  readonly slowCallPercentage?: number
  /** Probes that may start in one generation: 1 unless given. */
  readonly halfOpenProbes?: number
  /** When a probe that has not ended counts for nothing any more: 30 unless given. */
  readonly probeLeaseSeconds?: number
  /** When it opens again if the probes decided nothing; 0, for never, unless given. */
  readonly maxHalfOpenSeconds?: number
  /** Counts, and never opens by itself. */
  readonly metricsOnly?: boolean
  /**
   * Whose results count. `shared`, the default: those of all processes on the store, together. `local`: this process'
   * own, for itself. `quorum`: each process counts its own, and the circuit opens, for all, when more than half of the
   * processes that called within the last 10 s see it failing; until then all of them go on.
   */
  readonly scope?: 'local' | 'shared' | 'quorum'
  /** Whether an error, or a result, is a failure. Every error is one unless this is given. */
  readonly isFailure?: (errorOrResult: unknown) => boolean
  /** Errors that are no failures. */
  readonly ignore?: readonly ErrorMatch[]
  /** The only errors that are failures. */
  readonly record?: readonly ErrorMatch[]
  /** What a call that is not let through gives instead of its error: a value, or a function of that error. */
  readonly fallback?: unknown
}

/** What a protected call takes. */
export interface BreakerCallOptions {
  /** Aborted, the call rejects with its reason, and counts for nothing. */
  readonly signal?: AbortSignal
  /** When the call counts as failed and rejects with `TimeoutError`, in ms. */
  readonly timeoutMs?: number
}

/** What a protected function is given. */
export interface BreakerCall {
  /** Aborted when the caller's is, or when the time is over. */
  readonly signal: AbortSignal
}

/** What is said with an order. */
export interface BreakerOrder extends CallOptions {
  readonly reason?: string
  readonly actor?: string
  /** For how long; an open breaker stays so for as long as its configuration says, others until told otherwise. */
  readonly forSeconds?: number
}

/** Which breaker. */
export interface BreakerName {
  readonly name: string
  readonly context?: string
  readonly boundary?: string
}

/** How a breaker is. */
export interface BreakerSnapshot extends BreakerName {
  readonly state: BreakerState
  /** Grows with every change and every new wave of probes. */
  readonly generation: number
  readonly scope: 'local' | 'shared' | 'quorum'
  /** The store could not be reached last time: this is what is known here. */
  readonly storeAway: boolean
  /** Why it is so: `consecutive_failures`, `probe_failed`, `command`, ... */
  readonly cause: string | null
  /** When a call may be let through, in ms; `null` where no time is set. */
  readonly retryAfterMs: number | null
  /** Results since it was closed last. */
  readonly failureCount: number
  readonly successCount: number
  readonly since: Date | null
  /** When the state ends by itself. */
  readonly until: Date | null
  readonly openedAt: Date | null
  readonly closedAt: Date | null
  readonly lastFailureAt: Date | null
}

/** What a breaker counted. */
export interface BreakerMetrics {
  /** Of the window. */
  readonly calls: number
  readonly failures: number
  readonly slowCalls: number
  /** In percent. */
  readonly failureRate: number
  readonly slowCallRate: number
  readonly consecutiveFailures: number
  /** Results since it was closed last. */
  readonly failureCount: number
  readonly successCount: number
  /** Calls of this process. */
  readonly admitted: number
  readonly rejected: number
  /** Results that came too late to count, of this process. */
  readonly late: number
}

/** One entry of a breaker's history. */
export interface BreakerHistoryEntry {
  readonly event: 'opened' | 'halfOpened' | 'closed' | 'isolated' | 'disabled' | 'reset' | 'dropped'
  readonly from: BreakerState
  readonly to: BreakerState
  readonly at: Date
  readonly generation: number
  readonly cause: string
  readonly until?: Date
  readonly failures: number
  readonly successes: number
  /** Of `dropped`: how many changes are not known one by one, and when the first of them was. */
  readonly dropped?: number
  readonly droppedSince?: Date
  readonly reason?: string
  readonly actor?: string
}

/** What a breaker tells. Who listens to calls hears of those that begin from then on, and makes each of them cost more. */
export interface BreakerEvents {
  attempted: BreakerName
  succeeded: BreakerName & { readonly durationMs: number }
  failed: BreakerName & { readonly durationMs: number; readonly error: unknown }
  rejected: BreakerName & { readonly error: unknown }
  opened: BreakerTransition
  halfOpened: BreakerTransition
  closed: BreakerTransition
  isolated: BreakerTransition
  disabled: BreakerTransition
}

/** A change of state, made here or seen to have been made elsewhere. */
export interface BreakerTransition extends BreakerName {
  readonly from: BreakerState
  readonly to: BreakerState
  readonly at: Date
  readonly generation: number
  readonly until: Date | null
  readonly cause: string
}

/** Which rows of a database's table of breakers. */
export interface BreakerTableQuery {
  readonly state?: BreakerState
  readonly failureCountOver?: number
  /** Opened then or later. */
  readonly openedSince?: Date
  /** 1 to 1,000; 100 unless given. */
  readonly limit?: number
  readonly timeoutMs?: number
}

/** A row of a database's table of breakers. */
export interface BreakerRow extends BreakerName {
  readonly state: BreakerState
  readonly failureCount: number
  readonly successCount: number
  readonly lastFailureAt: Date | null
  readonly openedAt: Date | null
  readonly closedAt: Date | null
  readonly createdAt: Date | null
  readonly updatedAt: Date | null
}

/** Which rows of a database's table of events. */
export interface BreakerEventQuery {
  readonly name?: string
  readonly event?: BreakerHistoryEntry['event']
  readonly since?: Date
  /** 1 to 1,000; 100 unless given. */
  readonly limit?: number
  /** Where an earlier page ended. */
  readonly cursor?: string
  readonly timeoutMs?: number
}

/** A page of events, the newest first. */
export interface BreakerEventPage {
  readonly items: readonly (BreakerName & BreakerHistoryEntry)[]
  /** `null` on the last page. */
  readonly cursor: string | null
}
