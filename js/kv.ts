import { type Calls, numberOf } from './calls.js'
import { errorWith } from './errors.js'
import type { Json } from './generated/records.js'
import type {
  BytesOptions,
  JsonUpdates,
  KeepOptions,
  KeysOptions,
  KeysPage,
  KvCommand,
  PipelineOptions,
  RangeOptions,
  ResultsOf,
  Scored,
  TextOptions,
} from './kv-types.js'
import { anyRecord } from './records.js'
import type { CallOptions } from './types.js'
import { asIs, ask, bytesOf, mark, marks, type Value, withBytes } from './values.js'

const numbers = new Map<string, number>()

function number(op: string): number {
  let known = numbers.get(op)
  if (known === undefined) {
    known = numberOf(`kv.${op}`)
    numbers.set(op, known)
  }
  return known
}

function isBytes(options: unknown): boolean {
  return (options as { bytes?: unknown } | undefined)?.bytes === true
}

function entriesOf(fields: unknown): { fields: unknown; values: unknown } {
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return { fields, values: [] }
  const entries = Object.entries(fields)
  return { fields: entries.map(([name]) => name), values: entries.map(([, value]) => mark(value)) }
}

function scoredOf(members: unknown): { values: unknown; scores: unknown } {
  if (!Array.isArray(members)) return { values: members, scores: [] }
  return {
    values: members.map((item) => mark((item as Scored<Value> | null)?.member)),
    scores: members.map((item) => (item as Scored<Value> | null)?.score),
  }
}

/** A pipeline's command in the engine's words. */
function command(given: unknown): unknown {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return given
  const { value, ttlSeconds, fields, member, members, ...rest } = given as Record<string, unknown>
  const out: Record<string, unknown> = { ...rest }
  if (value !== undefined) out.value = mark(value)
  if (member !== undefined) out.value = mark(member)
  if (ttlSeconds !== undefined) {
    if (rest.op === 'expire') out.by = ttlSeconds
    else out.options = { ttlSeconds }
  }
  if (fields !== undefined) Object.assign(out, Array.isArray(fields) ? { fields } : entriesOf(fields))
  if (members !== undefined)
    Object.assign(out, rest.op === 'zadd' ? scoredOf(members) : { values: marks(members) })
  return out
}

/**
 * Keys and values: texts, hashes, sets and sorted sets under keys of their own, `<prefix>kv:<key>`, which other programs
 * can read. Values are texts or bytes; both come back exactly. Each method is one command and one round trip.
 *
 * A key's part in braces decides on its partition: `{user:1}:name` and `{user:1}:tags` share one. Calls on several keys
 * are sent together and are not one step, but for a pipeline that says `atomic: true`.
 *
 * *Errors*: `STORAGE_CONFLICT` for a command that does not fit what its key holds.
 */
export class KeyValues {
  readonly #calls: Calls

  /** @internal */
  constructor(calls: Calls) {
    this.#calls = calls
  }

  #ask(op: string, args: object, options: unknown): Promise<never> {
    return ask(this.#calls, number(op), args, options, isBytes(options) ? bytesOf : asIs) as Promise<never>
  }

  /** The value of a key, or `null`. With `bytes: true` as bytes; otherwise it has to be text. */
  get(key: string, options: BytesOptions): Promise<Uint8Array | null>
  get(key: string, options?: TextOptions): Promise<string | null>
  get(key: string, options?: CallOptions): Promise<Value | null> {
    return this.#ask('get', { key }, options)
  }

  /** The values of several keys, asked for together; each key has a partition of its own. */
  getMany(keys: readonly string[], options: BytesOptions): Promise<(Uint8Array | null)[]>
  getMany(keys: readonly string[], options?: TextOptions): Promise<(string | null)[]>
  getMany(keys: readonly string[], options?: CallOptions): Promise<(Value | null)[]> {
    return this.#ask('getMany', { keys }, options)
  }

  /** Sets a key's value and how long it is kept, whatever it held before. */
  set(key: string, value: Value, options?: KeepOptions): Promise<void> {
    return this.#ask('set', { key, value: mark(value) }, options)
  }

  /** Sets a value only if there is no such key. Whether it did. */
  setIfNotExists(key: string, value: Value, options?: KeepOptions): Promise<boolean> {
    return this.#ask('setIfNotExists', { key, value: mark(value) }, options)
  }

  /**
   * Sets a value only if the key holds `expected`; `null`: if there is no such key. Whether it did. Without
   * `ttlSeconds` the key is kept as long as it would have been.
   */
  compareAndSet(key: string, expected: Value | null, value: Value, options?: KeepOptions): Promise<boolean> {
    return this.#ask('compareAndSet', { key, expected: mark(expected), value: mark(value) }, options)
  }

  /**
   * Merges fields into the JSON object that a key holds; false when there is no key. Whatever is not named stays as
   * it is written: key order, `[]`, long numbers. Updates by several writers all survive.
   */
  updateJson(key: string, updates: JsonUpdates, options?: CallOptions): Promise<boolean> {
    return this.#ask('updateJson', { key, updates }, options)
  }

  /** Adds a whole number, 1 by default, to a key's number (0 when there is none). The sum, exact up to 2^53. */
  increment(key: string, by = 1, options?: CallOptions): Promise<number> {
    return this.#ask('increment', { key, by }, options)
  }

  /** Deletes keys, each in its own partition. How many there were. */
  delete(keys: string | readonly string[], options?: CallOptions): Promise<number> {
    return this.#ask('delete', { keys: typeof keys === 'string' ? [keys] : keys }, options)
  }

  /** Whether there is such a key. */
  exists(key: string, options?: CallOptions): Promise<boolean> {
    return this.#ask('exists', { key }, options)
  }

  /** Sets how long a key is kept from now on; 0 is for ever. False when there is no such key. */
  expire(key: string, ttlSeconds: number, options?: CallOptions): Promise<boolean> {
    return this.#ask('expire', { key, by: ttlSeconds }, options)
  }

  /** How long a key is still kept, in seconds; -1 is for ever, `null` when there is no such key. */
  ttlSeconds(key: string, options?: CallOptions): Promise<number | null> {
    return this.#ask('ttlSeconds', { key }, options)
  }

  /** A hash's field, or `null`. */
  hget(key: string, field: string, options: BytesOptions): Promise<Uint8Array | null>
  hget(key: string, field: string, options?: TextOptions): Promise<string | null>
  hget(key: string, field: string, options?: CallOptions): Promise<Value | null> {
    return this.#ask('hget', { key, field }, options)
  }

  /** Sets fields of a hash in one step. How many are new. */
  hset(key: string, fields: Readonly<Record<string, Value>>, options?: CallOptions): Promise<number> {
    return this.#ask('hset', { key, ...entriesOf(fields) }, options)
  }

  /** A whole hash; empty when there is no such key. */
  hgetall(key: string, options: BytesOptions): Promise<Record<string, Uint8Array>>
  hgetall(key: string, options?: TextOptions): Promise<Record<string, string>>
  hgetall(key: string, options?: CallOptions): Promise<Record<string, Value>> {
    return this.#ask('hgetall', { key }, options)
  }

  /** Removes fields of a hash. How many there were. */
  hdel(key: string, fields: readonly string[], options?: CallOptions): Promise<number> {
    return this.#ask('hdel', { key, fields }, options)
  }

  /** Adds a whole number to a field's number. The sum. */
  hincrement(key: string, field: string, by = 1, options?: CallOptions): Promise<number> {
    return this.#ask('hincrement', { key, field, by }, options)
  }

  /** Adds members to a set. How many are new. */
  sadd(key: string, members: readonly Value[], options?: CallOptions): Promise<number> {
    return this.#ask('sadd', { key, values: marks(members) }, options)
  }

  /** Removes members of a set. How many there were. */
  srem(key: string, members: readonly Value[], options?: CallOptions): Promise<number> {
    return this.#ask('srem', { key, values: marks(members) }, options)
  }

  /** Whether a set has a member. */
  sismember(key: string, member: Value, options?: CallOptions): Promise<boolean> {
    return this.#ask('sismember', { key, value: mark(member) }, options)
  }

  /** All members of a set, by their bytes. */
  smembers(key: string, options: BytesOptions): Promise<Uint8Array[]>
  smembers(key: string, options?: TextOptions): Promise<string[]>
  smembers(key: string, options?: CallOptions): Promise<Value[]> {
    return this.#ask('smembers', { key }, options)
  }

  /** How many members a set has. */
  scard(key: string, options?: CallOptions): Promise<number> {
    return this.#ask('scard', { key }, options)
  }

  /** Adds members to a sorted set, or moves them to another score. How many are new. */
  zadd(key: string, members: readonly Scored<Value>[], options?: CallOptions): Promise<number> {
    return this.#ask('zadd', { key, ...scoredOf(members) }, options)
  }

  /** Removes members of a sorted set. How many there were. */
  zrem(key: string, members: readonly Value[], options?: CallOptions): Promise<number> {
    return this.#ask('zrem', { key, values: marks(members) }, options)
  }

  /** A member's score, or `null`. */
  zscore(key: string, member: Value, options?: CallOptions): Promise<number | null> {
    return this.#ask('zscore', { key, value: mark(member) }, options)
  }

  /** Adds to a member's score. The sum. */
  zincrement(key: string, member: Value, by: number, options?: CallOptions): Promise<number> {
    return this.#ask('zincrement', { key, value: mark(member), by }, options)
  }

  /** How many members a sorted set has. */
  zcard(key: string, options?: CallOptions): Promise<number> {
    return this.#ask('zcard', { key }, options)
  }

  /** The members of the ranks `from` to before `to`, by score; equal scores by bytes. The first rank is 0. */
  zrange(key: string, from: number, to: number, options?: RangeOptions): Promise<Scored[]> {
    return this.#ask('zrange', { key, from, to }, options)
  }

  /** The members with scores from `least` to `most`, both included; 1,000 unless `limit` says otherwise. */
  zrangeByScore(
    key: string,
    least: number,
    most: number,
    options?: RangeOptions & { limit?: number },
  ): Promise<Scored[]> {
    return this.#ask('zrangeByScore', { key, from: least, to: most }, options)
  }

  /**
   * A page of the keys that match a pattern: `*` stands for any bytes, `?` for one, `[a-z]` for one of these, `[^a-z]` for
   * none of these, `\x` for the character itself (`escapePattern` marks a whole text). In no order; a key that is there
   * all the time is on one of the pages, perhaps on two. All keys of the server are looked at, in small steps.
   */
  keys(pattern: string, options?: KeysOptions): Promise<KeysPage> {
    return this.#ask('keys', { pattern }, options)
  }

  /**
   * Several commands in one round trip, a result for each. With `atomic: true` they run in one step, which needs keys of
   * one partition: one key, or one part in braces; otherwise `STORAGE_UNSUPPORTED`. A command that does not fit fails
   * alone either way: its result says so, and the others stay.
   */
  pipeline<const C extends readonly KvCommand[]>(
    commands: C,
    options: PipelineOptions,
  ): Promise<ResultsOf<C>> {
    const revive = (written: Json) =>
      (written as unknown as { ok: boolean; value?: unknown; error?: unknown }[]).map((result) =>
        result.ok
          ? { ok: true, value: isBytes(options) ? withBytes(result.value) : result.value }
          : { ok: false, error: errorWith(result.error as Json, anyRecord) },
      )
    const args = { commands: Array.isArray(commands) ? commands.map(command) : commands }
    return ask(this.#calls, number('pipeline'), args, options, revive) as Promise<ResultsOf<C>>
  }

  /** True when the server answers. */
  ping(options?: CallOptions): Promise<true> {
    return this.#ask('ping', {}, options)
  }

  /** What the server tells of itself, by name. On Redis the user needs the right to INFO. */
  info(options?: CallOptions): Promise<Readonly<Record<string, string>>> {
    return this.#ask('info', {}, options)
  }

  /** How many keys the server's database has, whoever they belong to. */
  dbSize(options?: CallOptions): Promise<number> {
    return this.#ask('dbSize', {}, options)
  }
}

/** A text as a pattern of `keys` that matches nothing else. */
export function escapePattern(text: string): string {
  return text.replace(/[*?[\]\\]/g, '\\$&')
}
