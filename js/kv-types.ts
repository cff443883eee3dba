import type { JsonObject } from './generated/records.js'
import type { CallOptions } from './types.js'
import type { Value } from './values.js'

/** How long a value is kept: 0 or absent is for ever. Fractions count. */
export interface KeepOptions extends CallOptions {
  ttlSeconds?: number
}

/** Reads values as bytes. */
export interface BytesOptions extends CallOptions {
  bytes: true
}

/** Reads values as text. */
export interface TextOptions extends CallOptions {
  bytes?: false
}

/** A page of a search. */
export interface KeysOptions extends CallOptions {
  /** About so many keys, 1,000 by default, 10,000 at most. */
  limit?: number
  /** Where an earlier page ended. */
  cursor?: string
}

/** Keys that match, and where to go on; `null`: there are no more. */
export interface KeysPage {
  readonly items: readonly string[]
  readonly cursor: string | null
}

/** A member of a sorted set. */
export interface Scored<V = string> {
  readonly member: V
  readonly score: number
}

/** An order of a sorted set's members, and which of them. */
export interface RangeOptions extends CallOptions {
  descending?: boolean
}

/** One command of a pipeline, as the method of its name takes it. */
export type KvCommand =
  | { op: 'get' | 'exists' | 'ttlSeconds' | 'hgetall' | 'smembers' | 'scard' | 'zcard'; key: string }
  | { op: 'set' | 'setIfNotExists'; key: string; value: Value; ttlSeconds?: number }
  | { op: 'increment'; key: string; by?: number }
  | { op: 'expire'; key: string; ttlSeconds: number }
  | { op: 'hget'; key: string; field: string }
  | { op: 'hset'; key: string; fields: Readonly<Record<string, Value>> }
  | { op: 'hdel'; key: string; fields: readonly string[] }
  | { op: 'hincrement'; key: string; field: string; by?: number }
  | { op: 'sadd' | 'srem'; key: string; members: readonly Value[] }
  | { op: 'sismember' | 'zscore'; key: string; member: Value }
  | { op: 'zadd'; key: string; members: readonly Scored<Value>[] }
  | { op: 'zrem'; key: string; members: readonly Value[] }
  | { op: 'zincrement'; key: string; member: Value; by: number }

/** What a command of a pipeline gives. */
export interface KvResults {
  get: string | null
  exists: boolean
  ttlSeconds: number | null
  hgetall: Readonly<Record<string, string>>
  smembers: readonly string[]
  scard: number
  zcard: number
  set: null
  setIfNotExists: boolean
  increment: number
  expire: boolean
  hget: string | null
  hset: number
  hdel: number
  hincrement: number
  sadd: number
  srem: number
  sismember: boolean
  zscore: number | null
  zadd: number
  zrem: number
  zincrement: number
}

/** A command's result: its value, or why it could not be done. */
export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: Error }

/** Results of commands, place by place. */
export type ResultsOf<C extends readonly KvCommand[]> = {
  -readonly [P in keyof C]: Result<KvResults[C[P]['op']]>
}

/** How a pipeline runs. */
export interface PipelineOptions extends CallOptions {
  /** True: in one step, with nobody between the commands; all keys then need one partition. False: each by itself. */
  atomic: boolean
}

/** Fields to merge into a JSON object. */
export type JsonUpdates = JsonObject
