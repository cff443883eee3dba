// Generated from core/src/schema by `npm run generate`. Not to be edited.

/**
 * The storage's schemas for zod 4: the same verdict, issues and order as the storage itself.
 *
 * Records drop fields that they do not know; what is given to create or change one may have none.
 */

import * as z from 'zod'

import type {
  ChainId,
  CustomEventType,
  EventId,
  EventType,
  SessionId,
  StepId,
  UserId,
} from '../generated/records.js'
import { branded, eventType, integer, json, jsonObject, list, plain, text, timestamp } from './helpers.js'

/** The contract's bounds of one JSON value. */
const JSON_LIMITS = { bytes: 1048576, depth: 64 }

export const SessionIdSchema = branded<SessionId>(text(1, 128))

export const UserIdSchema = branded<UserId>(text(1, 128))

export const ChainIdSchema = branded<ChainId>(text(1, 128))

export const StepIdSchema = branded<StepId>(text(1, 128))

export const EventIdSchema = branded<EventId>(text(1, 128))

/** Where a session stands. `active` and `paused` alternate; `completed` is final. */
export const SessionStateSchema = z.enum(['active', 'paused', 'completed'])

/** Where a chain came from. */
export const ChainSourceSchema = z.enum(['flow', 'composed', 'meta-task'])

/** Where a chain stands. */
export const ChainStatusSchema = z.enum(['pending', 'in_progress', 'completed', 'failed', 'cancelled'])

/** How many steps of a chain stand where. */
export const StepCountsSchema = plain(
  z.object({
    total: integer(0),
    pending: integer(0),
    inProgress: integer(0),
    completed: integer(0),
    failed: integer(0),
    skipped: integer(0),
  }),
)

/** Where a step stands. */
export const StepStatusSchema = z.enum(['pending', 'in_progress', 'completed', 'failed', 'skipped'])

/** `session:created`, `step:failed`, ... or the caller's own `custom:<name>`. */
export const EventTypeSchema = eventType<EventType>([
  'session:created',
  'session:updated',
  'session:paused',
  'session:resumed',
  'session:completed',
  'session:expired',
  'session:deleted',
  'chain:created',
  'chain:updated',
  'chain:started',
  'chain:completed',
  'chain:failed',
  'chain:cancelled',
  'chain:archived',
  'chain:deleted',
  'step:created',
  'step:updated',
  'step:started',
  'step:completed',
  'step:failed',
  'step:skipped',
  'step:retried',
  'step:deleted',
  'log:trimmed',
])

/** `custom:` and a name of 1 to 64 code points. */
export const CustomEventTypeSchema = branded<CustomEventType>(text(8, 71).startsWith('custom:'))

/** A session as it is stored and returned. */
export const SessionSchema = plain(
  z.object({
    sessionId: branded<SessionId>(text(1)),
    userId: branded<UserId>(text(1)),
    state: SessionStateSchema,
    title: text(1).optional(),
    tags: list(text(1)),
    metadata: jsonObject(),
    createdAt: timestamp(),
    updatedAt: timestamp(),
    expiresAt: timestamp().nullable(),
    version: integer(1),
  }),
)

/** What a caller gives to create a session. */
export const SessionDataSchema = plain(
  z.strictObject({
    title: text(1, 500).optional(),
    tags: list(text(1, 64), 32).optional(),
    metadata: jsonObject(JSON_LIMITS).optional(),
  }),
)

/** What a caller gives to change a session. Fields below `state` may be present only as they are. */
export const SessionUpdateSchema = plain(
  z.strictObject({
    title: text(1, 500).nullable().optional(),
    tags: list(text(1, 64), 32).optional(),
    metadata: jsonObject(JSON_LIMITS).optional(),
    state: SessionStateSchema.optional(),
    sessionId: SessionIdSchema.optional(),
    userId: UserIdSchema.optional(),
    createdAt: timestamp().optional(),
    updatedAt: timestamp().optional(),
    expiresAt: timestamp().nullable().optional(),
    version: integer(1).optional(),
  }),
)

/** A chain as it is stored and returned. */
export const ChainSchema = plain(
  z.object({
    chainId: branded<ChainId>(text(1)),
    sessionId: branded<SessionId>(text(1)),
    title: text(1),
    source: ChainSourceSchema.optional(),
    status: ChainStatusSchema,
    stepOrder: list(branded<StepId>(text(1))),
    stepCounts: StepCountsSchema,
    summary: text(0).optional(),
    metadata: jsonObject(),
    startedAt: timestamp().optional(),
    completedAt: timestamp().optional(),
    archivedAt: timestamp().optional(),
    createdAt: timestamp(),
    updatedAt: timestamp(),
    version: integer(1),
  }),
)

/** What a caller gives to create a chain. */
export const ChainDataSchema = plain(
  z.strictObject({
    title: text(1, 500),
    source: ChainSourceSchema.optional(),
    summary: text(0, 2000).optional(),
    metadata: jsonObject(JSON_LIMITS).optional(),
  }),
)

/** What a caller gives to change a chain. Fields below `status` may be present only as they are. */
export const ChainUpdateSchema = plain(
  z.strictObject({
    title: text(1, 500).optional(),
    source: ChainSourceSchema.nullable().optional(),
    summary: text(0, 2000).nullable().optional(),
    metadata: jsonObject(JSON_LIMITS).optional(),
    status: ChainStatusSchema.optional(),
    chainId: ChainIdSchema.optional(),
    sessionId: SessionIdSchema.optional(),
    stepOrder: list(StepIdSchema).optional(),
    stepCounts: StepCountsSchema.strict().optional(),
    startedAt: timestamp().optional(),
    completedAt: timestamp().optional(),
    archivedAt: timestamp().optional(),
    createdAt: timestamp().optional(),
    updatedAt: timestamp().optional(),
    version: integer(1).optional(),
  }),
)

/** A step as it is stored and returned. */
export const StepSchema = plain(
  z.object({
    stepId: branded<StepId>(text(1)),
    chainId: branded<ChainId>(text(1)),
    sessionId: branded<SessionId>(text(1)),
    stepNumber: integer(1),
    action: text(1),
    model: text(1).optional(),
    inputs: jsonObject(),
    waitsFor: list(branded<StepId>(text(1))),
    status: StepStatusSchema,
    result: json().optional(),
    error: text(0).optional(),
    attempt: integer(1),
    startedAt: timestamp().optional(),
    completedAt: timestamp().optional(),
    createdAt: timestamp(),
    updatedAt: timestamp(),
    version: integer(1),
  }),
)

/** What a caller gives to create a step. */
export const StepDataSchema = plain(
  z.strictObject({
    action: text(1, 500),
    model: text(1, 128).optional(),
    inputs: jsonObject(JSON_LIMITS).optional(),
    waitsFor: list(StepIdSchema, 1000).optional(),
  }),
)

/** What a caller gives to change a step. Fields below `error` may be present only as they are. */
export const StepUpdateSchema = plain(
  z.strictObject({
    action: text(1, 500).optional(),
    model: text(1, 128).nullable().optional(),
    inputs: jsonObject(JSON_LIMITS).optional(),
    waitsFor: list(StepIdSchema, 1000).optional(),
    status: StepStatusSchema.optional(),
    result: json(JSON_LIMITS).optional(),
    error: text(0, 2000).nullable().optional(),
    stepId: StepIdSchema.optional(),
    chainId: ChainIdSchema.optional(),
    sessionId: SessionIdSchema.optional(),
    stepNumber: integer(1).optional(),
    attempt: integer(1).optional(),
    startedAt: timestamp().optional(),
    completedAt: timestamp().optional(),
    createdAt: timestamp().optional(),
    updatedAt: timestamp().optional(),
    version: integer(1).optional(),
  }),
)

/** One entry of a session's log and of its user's feed. */
export const EventSchema = plain(
  z.object({
    eventId: branded<EventId>(text(1)),
    type: EventTypeSchema,
    sessionId: branded<SessionId>(text(1)),
    chainId: branded<ChainId>(text(1)).optional(),
    stepId: branded<StepId>(text(1)).optional(),
    userId: branded<UserId>(text(1)),
    at: timestamp(),
    data: jsonObject(),
  }),
)

/** What a caller gives to append an event of its own. */
export const CustomEventSchema = plain(
  z.strictObject({
    type: CustomEventTypeSchema,
    data: jsonObject(JSON_LIMITS).optional(),
  }),
)
