import type { BreakerHistoryEntry, BreakerName, BreakerSnapshot, BreakerTransition } from './breaker-types.js'
import type { Json } from './generated/records.js'

const date = (ms: unknown): Date | null => (typeof ms === 'number' ? new Date(ms) : null)

/** How a breaker is, as the engine tells it. */
export function snapshot(written: Json): BreakerSnapshot {
  const facts = written as unknown as Record<string, unknown>
  for (const field of ['since', 'until', 'openedAt', 'closedAt', 'lastFailureAt']) {
    facts[field] = date(facts[field])
  }
  return Object.freeze(facts) as unknown as BreakerSnapshot
}

/** An entry of a history, as the engine tells it. */
export function historyEntry(written: Json): BreakerHistoryEntry {
  const facts = written as unknown as Record<string, unknown>
  facts.at = date(facts.at)
  for (const field of ['until', 'droppedSince']) {
    if (facts[field] !== undefined) facts[field] = date(facts[field])
  }
  return Object.freeze(facts) as unknown as BreakerHistoryEntry
}

/** A row of a table, with its times as dates. */
export function dated(written: Json, times: readonly string[]): object {
  const facts = written as unknown as Record<string, unknown>
  for (const field of times) if (facts[field] !== undefined) facts[field] = date(facts[field])
  return Object.freeze(facts)
}

/** The event that a transition is. */
export function transitionEvent(id: BreakerName, moved: Record<string, unknown>): BreakerTransition {
  return Object.freeze({
    ...id,
    ...moved,
    at: date(moved.at),
    until: date(moved.until),
  }) as unknown as BreakerTransition
}
