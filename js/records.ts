import type { Json } from './generated/records.js'

/** A record as the engine writes it: dates are numbers or texts. */
type Written = Record<string, Json | Date>

/** Makes a record of what the engine wrote. */
export type Revive = (written: Json) => unknown

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

function freezeDeep(value: unknown): void {
  if (!isObject(value)) return
  if (Array.isArray(value)) {
    for (const inner of value as unknown[]) if (isObject(inner)) freezeDeep(inner)
  } else {
    for (const key in value) {
      const inner = (value as Record<string, unknown>)[key]
      if (isObject(inner)) freezeDeep(inner)
    }
  }
  Object.freeze(value)
}

/** A date, which the engine writes as a number of ms or as a text. */
function date(written: unknown): Date {
  return new Date(written as number | string)
}

// One function for each kind of record: it knows its fields, so the engine of JavaScript knows their places.

/** A session: frozen through and through, its dates as `Date`. */
export function session(written: Json): unknown {
  if (written === null) return null
  const record = written as Written
  record.createdAt = date(record.createdAt)
  record.updatedAt = date(record.updatedAt)
  if (record.expiresAt !== null) record.expiresAt = date(record.expiresAt)
  if (record.asOf !== undefined) record.asOf = date(record.asOf)
  freezeDeep(record.metadata)
  Object.freeze(record.tags)
  return Object.freeze(record)
}

/** A chain. */
export function chain(written: Json): unknown {
  if (written === null) return null
  const record = written as Written
  startAndEnd(record)
  if (record.archivedAt !== undefined) record.archivedAt = date(record.archivedAt)
  freezeDeep(record.metadata)
  Object.freeze(record.stepCounts)
  Object.freeze(record.stepOrder)
  return Object.freeze(record)
}

/** A step. */
export function step(written: Json): unknown {
  if (written === null) return null
  const record = written as Written
  startAndEnd(record)
  freezeDeep(record.inputs)
  freezeDeep(record.result)
  Object.freeze(record.waitsFor)
  return Object.freeze(record)
}

function startAndEnd(record: Written): void {
  record.createdAt = date(record.createdAt)
  record.updatedAt = date(record.updatedAt)
  if (record.startedAt !== undefined) record.startedAt = date(record.startedAt)
  if (record.completedAt !== undefined) record.completedAt = date(record.completedAt)
  if (record.asOf !== undefined) record.asOf = date(record.asOf)
}

/** An event. */
export function event(written: Json): unknown {
  const record = written as Written
  record.at = date(record.at)
  freezeDeep(record.data)
  return Object.freeze(record)
}

/** Makes the records of a list. */
export function listOf(revive: Revive): Revive {
  return (written) => (written as Json[]).map(revive)
}

/** A page of events. */
export function page(written: Json): { items: unknown[]; cursor: string } {
  const { items, cursor } = written as { items: Json[]; cursor: string }
  return { items: items.map(event), cursor }
}

/** A page of a feed. */
export interface FeedPage {
  readonly items: readonly unknown[]
  /** The place behind each item. */
  readonly marks: readonly string[]
  /** The place behind the last item, and behind what was passed over. */
  readonly cursor: string | undefined
  /** The place before the first item, where marks are parts of it. */
  readonly start?: string
  /** Nothing can follow. */
  readonly done?: boolean
}

/** A page of a feed. */
export function feedPage(written: Json): FeedPage {
  const page = written as unknown as FeedPage & { items: Json[] }
  return { ...page, items: page.items.map(feedItem) }
}

function feedItem(written: Json): unknown {
  const item = written as Written
  if (item.type !== 'gap') return event(written)
  if (item.sessionId === undefined) {
    item.from = date(item.from)
    item.to = date(item.to)
  }
  return Object.freeze(item)
}

/** A session's tree: `{ session, chains, steps }`. */
export function tree(written: Json): Tree {
  const {
    session: root,
    chains,
    steps,
    ...rest
  } = written as { session: Json; chains: Json[]; steps: Json[] }
  return Object.freeze({
    session: session(root),
    chains: Object.freeze(chains.map(chain)),
    steps: Object.freeze(steps.map(step)),
    ...rest,
  })
}

/** What `tree` makes. */
export interface Tree {
  readonly session: unknown
  readonly chains: readonly unknown[]
  readonly steps: readonly unknown[]
  readonly cursor?: string
}

/** The record that an error carries, whatever its kind. */
export function anyRecord(written: Json): unknown {
  const fields = written as Written
  if (fields.stepId !== undefined) return step(written)
  if (fields.chainId !== undefined) return chain(written)
  return fields.sessionId === undefined ? written : session(written)
}
