// Generated from core/src/schema by `npm run generate`. Not to be edited.

declare const brand: unique symbol

/** A string that stands for one thing only. */
type Branded<Name extends string> = string & { readonly [brand]: Name }

/**
 * A string that is not branded as the id of something else: a plain text from a URL is welcome where an
 * id is expected, the id of another kind of record is not.
 */
export type Plain = string & { readonly [brand]?: never }

export type JsonPrimitive = string | number | boolean | null
/** Any JSON value. */
export type Json = JsonPrimitive | readonly Json[] | JsonObject
/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json }

export type SessionId = Branded<'SessionId'>
export type UserId = Branded<'UserId'>
export type ChainId = Branded<'ChainId'>
export type StepId = Branded<'StepId'>
export type EventId = Branded<'EventId'>

/** Where a session stands. `active` and `paused` alternate; `completed` is final. */
export type SessionState = 'active' | 'paused' | 'completed'

/** Where a chain came from. */
export type ChainSource = 'flow' | 'composed' | 'meta-task'

/** Where a chain stands. */
export type ChainStatus = 'pending' | 'in_progress' | 'completed' | 'failed' | 'cancelled'

/** How many steps of a chain stand where. */
export interface StepCounts {
  readonly total: number
  readonly pending: number
  readonly inProgress: number
  readonly completed: number
  readonly failed: number
  readonly skipped: number
}

/** Where a step stands. */
export type StepStatus = 'pending' | 'in_progress' | 'completed' | 'failed' | 'skipped'

/** `session:created`, `step:failed`, ... or the caller's own `custom:<name>`. */
export type EventType =
  | 'session:created'
  | 'session:updated'
  | 'session:paused'
  | 'session:resumed'
  | 'session:completed'
  | 'session:expired'
  | 'session:deleted'
  | 'chain:created'
  | 'chain:updated'
  | 'chain:started'
  | 'chain:completed'
  | 'chain:failed'
  | 'chain:cancelled'
  | 'chain:archived'
  | 'chain:deleted'
  | 'step:created'
  | 'step:updated'
  | 'step:started'
  | 'step:completed'
  | 'step:failed'
  | 'step:skipped'
  | 'step:retried'
  | 'step:deleted'
  | 'log:trimmed'
  | `custom:${string}`

/** `custom:` and a name of 1 to 64 code points. */
export type CustomEventType = `custom:${string}`

/** A session as it is stored and returned. */
export interface Session<Meta extends object = JsonObject> {
  readonly sessionId: SessionId
  /** Whose session it is: the caller's own name for the user. */
  readonly userId: UserId
  readonly state: SessionState
  readonly title?: string | undefined
  readonly tags: readonly string[]
  /** The caller's own data. */
  readonly metadata: Meta
  readonly createdAt: Date
  readonly updatedAt: Date
  /** When the session and everything below it go, or null: never. */
  readonly expiresAt: Date | null
  /** 1 at creation, one more with every change. */
  readonly version: number
}

/** What a caller gives to create a session. */
export interface SessionData<Meta extends object = JsonObject> {
  readonly title?: string | undefined
  readonly tags?: readonly string[] | undefined
  /** The caller's own data. */
  readonly metadata?: Meta | undefined
}

/** What a caller gives to change a session. Fields below `state` may be present only as they are. */
export interface SessionUpdate<Meta extends object = JsonObject> {
  /** `null` takes the title away. */
  readonly title?: string | null | undefined
  readonly tags?: readonly string[] | undefined
  /** Replaces the whole of it. */
  readonly metadata?: Meta | undefined
  readonly state?: SessionState | undefined
  readonly sessionId?: SessionId | Plain | undefined
  readonly userId?: UserId | Plain | undefined
  readonly createdAt?: Date | undefined
  readonly updatedAt?: Date | undefined
  readonly expiresAt?: Date | null | undefined
  readonly version?: number | undefined
}

/** A chain as it is stored and returned. */
export interface Chain<Meta extends object = JsonObject> {
  readonly chainId: ChainId
  readonly sessionId: SessionId
  readonly title: string
  readonly source?: ChainSource | undefined
  readonly status: ChainStatus
  /** The steps' ids in the order of their creation. */
  readonly stepOrder: readonly StepId[]
  readonly stepCounts: StepCounts
  readonly summary?: string | undefined
  /** The caller's own data. */
  readonly metadata: Meta
  /** When its first step started. */
  readonly startedAt?: Date | undefined
  readonly completedAt?: Date | undefined
  readonly archivedAt?: Date | undefined
  readonly createdAt: Date
  readonly updatedAt: Date
  /** 1 at creation, one more with every change. */
  readonly version: number
}

/** What a caller gives to create a chain. */
export interface ChainData<Meta extends object = JsonObject> {
  readonly title: string
  readonly source?: ChainSource | undefined
  readonly summary?: string | undefined
  /** The caller's own data. */
  readonly metadata?: Meta | undefined
}

/** What a caller gives to change a chain. Fields below `status` may be present only as they are. */
export interface ChainUpdate<Meta extends object = JsonObject> {
  readonly title?: string | undefined
  /** `null` takes the source away. */
  readonly source?: ChainSource | null | undefined
  /** `null` takes the summary away. */
  readonly summary?: string | null | undefined
  /** Replaces the whole of it. */
  readonly metadata?: Meta | undefined
  readonly status?: ChainStatus | undefined
  readonly chainId?: ChainId | Plain | undefined
  readonly sessionId?: SessionId | Plain | undefined
  readonly stepOrder?: readonly (StepId | Plain)[] | undefined
  readonly stepCounts?: StepCounts | undefined
  readonly startedAt?: Date | undefined
  readonly completedAt?: Date | undefined
  readonly archivedAt?: Date | undefined
  readonly createdAt?: Date | undefined
  readonly updatedAt?: Date | undefined
  readonly version?: number | undefined
}

/** A step as it is stored and returned. */
export interface Step<Inputs extends object = JsonObject, Result = Json> {
  readonly stepId: StepId
  readonly chainId: ChainId
  readonly sessionId: SessionId
  /** 1 for the first step of the chain, in the order of creation. */
  readonly stepNumber: number
  /** What the step does. */
  readonly action: string
  /** The model that does it, if one does. */
  readonly model?: string | undefined
  /** What the action is given: the caller's own data. */
  readonly inputs: Inputs
  /** The steps of the same chain that come before this one. */
  readonly waitsFor: readonly StepId[]
  readonly status: StepStatus
  /** What came of it: the caller's own data; `null` is a result like any other. */
  readonly result?: Result | undefined
  /** Why it failed. */
  readonly error?: string | undefined
  /** 1, and one more with every retry. */
  readonly attempt: number
  readonly startedAt?: Date | undefined
  readonly completedAt?: Date | undefined
  readonly createdAt: Date
  readonly updatedAt: Date
  /** 1 at creation, one more with every change. */
  readonly version: number
}

/** What a caller gives to create a step. */
export interface StepData<Inputs extends object = JsonObject> {
  /** What the step does. */
  readonly action: string
  /** The model that does it, if one does. */
  readonly model?: string | undefined
  /** What the action is given: the caller's own data. */
  readonly inputs?: Inputs | undefined
  /** Steps of the same chain that come before this one. */
  readonly waitsFor?: readonly (StepId | Plain)[] | undefined
}

/** What a caller gives to change a step. Fields below `error` may be present only as they are. */
export interface StepUpdate<Inputs extends object = JsonObject, Result = Json> {
  readonly action?: string | undefined
  /** `null` takes the model away. */
  readonly model?: string | null | undefined
  /** Replaces the whole of it. */
  readonly inputs?: Inputs | undefined
  readonly waitsFor?: readonly (StepId | Plain)[] | undefined
  readonly status?: StepStatus | undefined
  /** `null` is a result like any other. */
  readonly result?: Result | undefined
  /** `null` takes the error away. */
  readonly error?: string | null | undefined
  readonly stepId?: StepId | Plain | undefined
  readonly chainId?: ChainId | Plain | undefined
  readonly sessionId?: SessionId | Plain | undefined
  readonly stepNumber?: number | undefined
  readonly attempt?: number | undefined
  readonly startedAt?: Date | undefined
  readonly completedAt?: Date | undefined
  readonly createdAt?: Date | undefined
  readonly updatedAt?: Date | undefined
  readonly version?: number | undefined
}

/** One entry of a session's log and of its user's feed. */
export interface Event {
  readonly eventId: EventId
  readonly type: EventType
  readonly sessionId: SessionId
  readonly chainId?: ChainId | undefined
  readonly stepId?: StepId | undefined
  readonly userId: UserId
  readonly at: Date
  readonly data: JsonObject
}

/** What a caller gives to append an event of its own. */
export interface CustomEvent {
  readonly type: CustomEventType
  /** What the caller says of it. */
  readonly data?: JsonObject | undefined
}
