import { type Calls, numberOf } from './calls.js'
import type { Json } from './generated/records.js'
import type { CallOptions } from './types.js'
import { asIs, ask, base64, fromBase64 } from './values.js'

const CREATE = numberOf('collection.create')
const PUT = numberOf('collection.put')
const UPDATE = numberOf('collection.update')
const GET = numberOf('collection.get')
const GET_BY = numberOf('collection.getBy')
const IN = numberOf('collection.in')
const DELETE = numberOf('collection.delete')
const TAKE = numberOf('collection.take')
const LIST = numberOf('collection.list')
const COUNT = numberOf('collection.count')
const VERIFY = numberOf('collection.verify')
const REPAIR = numberOf('collection.repair')

/** What a record's key may be. */
export type KeyValue = string | number | boolean

/** The fields by which a collection's records are found. */
export interface CollectionShape<T extends object> {
  /** The field that holds a record's id: a string, or a whole number. */
  readonly id: keyof T & string
  /** Each a list of fields whose values together no two records share. Where one is absent or `null` it does not bind. */
  readonly unique?: readonly (readonly (keyof T & string)[])[]
  /** Second keys: each value of such a field, or each item of a list, stands for one record. */
  readonly lookup?: readonly (keyof T & string)[]
  /** The field, a number, that the order goes by; equal ones by id. Absent: the order of making. */
  readonly orderBy?: keyof T & string
  /** Fields whose value, or each item of a list, gathers records in a set. */
  readonly sets?: readonly (keyof T & string)[]
  /** How long a record is kept after it was created or put; 0 or absent is for ever. */
  readonly ttlSeconds?: number
  /** Fields that hold bytes: `Uint8Array` here, base64 in the stored JSON. */
  readonly binary?: readonly (keyof T & string)[]
}

/** How long this record is kept, instead of what the collection says. */
export interface RecordOptions extends CallOptions {
  ttlSeconds?: number
}

/** Which page of a list. */
export interface PageOptions extends CallOptions {
  /** Records of a page: 100 by default, 1,000 at most. */
  limit?: number
  /** Where the page before ended. */
  cursor?: string
}

/** Which page, and from which end. */
export interface OrderedPageOptions extends PageOptions {
  descending?: boolean
}

/** Records, and where to go on; `null`: there are no more. Records that are over are left out, so a page may be shorter. */
export interface RecordPage<T> {
  readonly items: readonly T[]
  readonly cursor: string | null
}

/** What a look at all indexes found. */
export interface Verified {
  readonly records: number
  readonly problems: readonly { readonly id: string; readonly problem: string }[]
  /** How many of the problems are no more. */
  readonly mended: number
}

/**
 * Typed JSON records with an id, found by second keys, kept apart by constraints, in an order and in sets. A write and all
 * that notes it are one step. A collection lives in one partition: it is as large and as busy as one server's share allows.
 *
 * *Errors*: `STORAGE_EXISTS` for an id or a constraint that another record holds; it carries that record.
 */
export class Collection<T extends object> {
  readonly #calls: Calls
  readonly #definition: object
  readonly #binary: readonly string[]

  /** @internal */
  constructor(calls: Calls, name: string, shape: CollectionShape<T>) {
    const { binary, ...rest } = shape
    this.#calls = calls
    this.#definition = { name, ...rest }
    this.#binary = binary ?? []
  }

  #ask(operation: number, args: object, options: unknown): Promise<never> {
    return ask(this.#calls, operation, { definition: this.#definition, ...args }, options, asIs, (record) =>
      this.#withBytes(record),
    ) as Promise<never>
  }

  async #records(operation: number, args: object, options: unknown): Promise<never> {
    return this.#withBytes(await this.#ask(operation, args, options)) as never
  }

  #withoutBytes(record: unknown): unknown {
    if (this.#binary.length === 0 || typeof record !== 'object' || record === null) return record
    const fields: Record<string, unknown> = { ...record }
    for (const name of this.#binary) {
      const value = fields[name]
      if (value instanceof Uint8Array) fields[name] = base64(value)
    }
    return fields
  }

  #withBytes(record: Json): unknown {
    if (this.#binary.length === 0 || record === null) return record
    const fields = record as Record<string, unknown>
    for (const name of this.#binary) {
      const value = fields[name]
      if (typeof value === 'string') fields[name] = fromBase64(value)
    }
    return fields
  }

  async #page(operation: number, args: object, options: unknown): Promise<RecordPage<T>> {
    const page: { items: Json[]; cursor: string | null } = await this.#ask(operation, args, options)
    return { items: page.items.map((item) => this.#withBytes(item) as T), cursor: page.cursor }
  }

  /** Creates a record. One round trip. */
  create(record: T, options?: RecordOptions): Promise<T> {
    return this.#records(CREATE, { record: this.#withoutBytes(record) }, options)
  }

  /** Creates a record, or replaces the one with its id. */
  put(record: T, options?: RecordOptions): Promise<T> {
    return this.#records(PUT, { record: this.#withoutBytes(record) }, options)
  }

  /** Merges fields into a record, field by field; updates by several writers all survive. `NotFoundError` without it. */
  update(id: string | number, updates: Partial<T>, options?: RecordOptions): Promise<T> {
    return this.#records(UPDATE, { id, record: this.#withoutBytes(updates) }, options)
  }

  /** The record, or `null`. */
  get(id: string | number, options?: CallOptions): Promise<T | null> {
    return this.#records(GET, { id }, options)
  }

  /** The record that a second key stands for, or `null`. */
  getBy(lookup: keyof T & string, value: KeyValue, options?: CallOptions): Promise<T | null> {
    return this.#records(GET_BY, { by: lookup, value }, options)
  }

  /** A page of the records of a set, by their ids. */
  in(set: keyof T & string, value: KeyValue, options?: PageOptions): Promise<RecordPage<T>> {
    return this.#page(IN, { by: set, value }, options)
  }

  /** A page of all records in their order. The cursor counts places: what comes or goes before it shifts it. */
  list(options?: OrderedPageOptions): Promise<RecordPage<T>> {
    return this.#page(LIST, {}, options)
  }

  /** Deletes a record. One that does not exist is no error. */
  delete(id: string | number, options?: CallOptions): Promise<void> {
    return this.#ask(DELETE, { id }, options)
  }

  /**
   * Removes a record and gives it, or `null`. Of several callers one gets it, so what may be used once is: a code, an
   * invitation. Two round trips.
   */
  take(id: string | number, options?: CallOptions): Promise<T | null> {
    return this.#records(TAKE, { id }, options)
  }

  /** How many records there are; those that are over count until they are removed. */
  count(options?: CallOptions): Promise<number> {
    return this.#ask(COUNT, {}, options)
  }

  /**
   * Whether keys, order, sets and ends agree with the records. Others may read and write meanwhile. It asks for each
   * record, so a large collection needs a longer `timeoutMs`.
   */
  verify(options?: CallOptions): Promise<Verified> {
    return this.#ask(VERIFY, {}, options)
  }

  /**
   * Makes keys, order, sets and ends agree with the records: after a change of the shape, or of the data by others. What
   * stays is told: two records that share what no two may, and records that can't be read.
   */
  repair(options?: CallOptions): Promise<Verified> {
    return this.#ask(REPAIR, {}, options)
  }
}
