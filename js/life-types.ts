import type {
  ChainId,
  ChainStatus,
  Plain,
  SessionId,
  SessionState,
  StepStatus,
  UserId,
} from './generated/records.js'
import type { CallOptions } from './types.js'

/** How many sessions a user has, by their state. */
export interface SessionCounts {
  readonly total: number
  readonly active: number
  readonly paused: number
  readonly completed: number
}

/** What was erased of a user. */
export interface Erased {
  readonly sessions: number
}

/** What a sweep takes. */
export interface SweepOptions extends CallOptions {
  /** How many of the 1,024 partitions are looked through, from where the last sweep ended; all unless given. */
  readonly partitions?: number
}

/** Which events are to go. */
export interface PruneQuery {
  /** Those from before. */
  readonly olderThan: Date
  /** `true`: they are only counted. */
  readonly dryRun?: boolean
  /** Sessions that the call looks at, at the most: 10,000 unless given. */
  readonly limit?: number
  /** Sessions that it looks at in a second, at the most: 1,000 unless given. */
  readonly perSecond?: number
  /** Where an earlier call ended. */
  readonly cursor?: string
}

/** What was pruned, or would be. */
export interface Pruned {
  /** Sessions whose log lost events. */
  readonly sessions: number
  /** Events that went from the logs of sessions. */
  readonly events: number
  /** Sessions that were left alone: one of their chains is not at its end. */
  readonly running: number
  /** Pass it to go on; `null`: every session was looked at. */
  readonly cursor: string | null
}

/** What a sweep has done. */
export interface Swept {
  /** Sessions whose end was noted: out of their user's list, `session:expired` in the feed. */
  readonly expired: number
  /** Steps whose lease had run out: failed as `lost`, or pending again. */
  readonly lost: number
  /** Chains that were archived: those that a storage keeps in place for a while (`archiveAfterSeconds`). */
  readonly archived: number
  /** Chains whose steps were made small in the archive: those that this storage has archived, a second ago or more. */
  readonly compacted: number
}

/** What every query takes. */
export interface RecordsQuery<Field extends string> {
  /** Only those created later. */
  readonly createdAfter?: Date
  /** Only those created earlier. */
  readonly createdBefore?: Date
  /** The order of creation (`asc`, the default) or the other way. */
  readonly order?: 'asc' | 'desc'
  /** At most so many: 1 to 1,000; 100 unless given. */
  readonly limit?: number
  /** Where an earlier page of the same query ended. */
  readonly cursor?: string
  /** The fields that are wanted beside the id: what is not named never reaches JavaScript. All unless given. */
  readonly fields?: readonly Field[]
}

/** Which sessions. */
export interface SessionsQuery<Field extends string = string> extends RecordsQuery<Field> {
  /** Whose. */
  readonly parent: UserId | Plain
  readonly state?: SessionState
  /** Only those that carry this tag. Sessions without it are passed over one by one. */
  readonly tag?: string
}

/** Which chains. */
export interface ChainsQuery<Field extends string = string> extends RecordsQuery<Field> {
  /** Of which session; of one that has expired, what is archived. */
  readonly parent: SessionId | Plain
  readonly status?: ChainStatus
  /** Archived chains with the others (`include`, the default), left out, or alone. */
  readonly archived?: 'include' | 'exclude' | 'only'
}

/** Which steps. */
export interface StepsQuery<Field extends string = string> extends RecordsQuery<Field> {
  /** Of which chain. */
  readonly parent: ChainId | Plain
  readonly status?: StepStatus
}

/** A page of records. */
export interface RecordPage<R> {
  readonly items: R[]
  /** Stands behind the last record looked at: pass it to go on. `null` when nothing followed. */
  readonly cursor: string | null
}
