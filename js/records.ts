import type { Chain, Event, Json, Session, Step } from './generated/records.js'

/** The fields that hold dates, of every record. */
const DATES = ['createdAt', 'updatedAt', 'expiresAt', 'startedAt', 'completedAt', 'archivedAt', 'at'] as const

/** The fields that hold lists or objects, of every record. */
const NESTED = ['tags', 'metadata', 'stepOrder', 'stepCounts', 'inputs', 'waitsFor', 'result', 'data'] as const

/** A record as the engine writes it. */
type Written = Record<string, Json | Date>

function freezeDeep(value: Json): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return
  Object.freeze(value)
  for (const inner of Object.values(value)) freezeDeep(inner)
}

/** A record of the engine's JSON: dates as `Date`, frozen through and through. */
export function record(written: Json): unknown {
  if (typeof written !== 'object' || written === null) return written
  const made = written as Written
  for (const name of DATES) {
    const text = made[name]
    if (typeof text === 'string') made[name] = new Date(text)
  }
  for (const name of NESTED) {
    const value = made[name]
    if (typeof value === 'object') freezeDeep(value as Json)
  }
  return Object.freeze(made)
}

/** Any record, or null where there is none. */
export type AnyRecord = Session | Chain | Step | Event | null

/** The records of a list. */
export function records(written: Json): unknown[] {
  return (written as Json[]).map(record)
}

/** A page of records. */
export function page(written: Json): { items: unknown[]; cursor: string } {
  const { items, cursor } = written as { items: Json[]; cursor: string }
  return { items: records(items), cursor }
}

/** What a deletion gives. */
export function nothing(): undefined {
  return undefined
}
