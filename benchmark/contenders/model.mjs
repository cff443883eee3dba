/**
 * What every peer shares: the zod schemas of a session and the building of a record.
 * The peers get the cheapest schema that still does the job: metadata is a record of unknown values, since
 * `JSON.parse` and `structuredClone` make sure of the rest.
 */
import { randomUUID } from 'node:crypto'
import * as z from 'zod'

export const TTL_MS = 86_400_000

const title = z.string().min(1).max(500)
const tags = z.array(z.string().min(1).max(64)).max(32)
const metadata = z.record(z.string(), z.unknown())
const state = z.enum(['active', 'paused', 'completed'])
const id = z.string().min(1).max(128)

export const SessionData = z.strictObject({
  title: title.optional(),
  tags: tags.default([]),
  metadata: metadata.default({}),
})

export const SessionUpdate = z.strictObject({
  title: title.optional(),
  tags: tags.optional(),
  metadata: metadata.optional(),
  state: state.optional(),
})

/** A stored session, as it is read back: ISO dates become `Date`. */
export const Session = z.object({
  sessionId: id,
  userId: id,
  state,
  title: title.optional(),
  tags,
  metadata,
  createdAt: z.coerce.date(),
  updatedAt: z.coerce.date(),
  expiresAt: z.coerce.date().nullable(),
  version: z.int().min(1),
})

/** @typedef {z.infer<typeof Session>} SessionRecord */
/** @typedef {{ title?: string, tags?: string[], metadata?: Record<string, unknown> }} SessionInput */

/**
 * The operations that are measured. flowkeep's own storages have them; the peers implement them, chains and steps those on
 * Redis alone.
 * @typedef {object} Store
 * @property {(userId: string, data: SessionInput) => Promise<SessionRecord>} createSession
 * @property {(sessionId: string) => Promise<SessionRecord | null>} getSession
 * @property {(sessionId: string, updates: SessionInput) => Promise<SessionRecord>} updateSession
 * @property {(userId: string) => Promise<SessionRecord[]>} listSessions
 * @property {(sessionId: string, data: { title: string }) => Promise<{ chainId: string, version: number }>} createChain
 * @property {(chainId: string, data: { action: string, inputs: object }) => Promise<{ stepId: string, version: number }>} createStep
 * @property {(stepId: string, updates: { status: string }) => Promise<{ version: number }>} updateStep
 * @property {() => Promise<void>} close
 */

/**
 * @param {string} userId
 * @param {z.infer<typeof SessionData>} data already validated
 * @returns {SessionRecord}
 */
export function newSession(userId, data) {
  const now = Date.now()
  return {
    sessionId: `ses_${randomUUID()}`,
    userId,
    state: 'active',
    title: data.title,
    tags: data.tags,
    metadata: data.metadata,
    createdAt: new Date(now),
    updatedAt: new Date(now),
    expiresAt: new Date(now + TTL_MS),
    version: 1,
  }
}

/**
 * The record after a partial update: one version more, the deadline moved.
 * @param {SessionRecord} current
 * @param {z.infer<typeof SessionUpdate>} updates already validated
 * @returns {SessionRecord}
 */
export function updatedSession(current, updates) {
  const now = Date.now()
  return {
    .../** @type {SessionRecord} */ ({ ...current, ...updates }),
    updatedAt: new Date(now),
    expiresAt: new Date(now + TTL_MS),
    version: current.version + 1,
  }
}
