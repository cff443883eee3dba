/** What the generated schemas are made of, where zod's own parts would judge otherwise than the storage. */

import * as z from 'zod'

import { DEEPEST, hasSymbolKeys, isPlainObject, item, MOST_NODES } from '../encode.js'
import type { Json, JsonObject } from '../generated/records.js'

/** One JSON value reports at most so many issues: a hostile one could hold a million. */
const JSON_ISSUES = 100
/** The last instant of the year 9999: later ones have no four-digit year. */
const LATEST = new Date(253_402_300_799_999)
const LONE_SURROGATE = /\p{Surrogate}/u

/** The bounds of a JSON value. Without them only what the storage itself can hold counts. */
export interface JsonLimits {
  readonly bytes: number
  readonly depth: number
}

type Issues = z.core.$ZodRawIssue[]

/** A string of `least` to `most` code points in which every surrogate has its other half. */
export function text(least: number, most?: number): z.ZodString {
  const size = { ...(least > 0 && { minLength: least }), ...(most !== undefined && { maxLength: most }) }
  return z
    .string()
    .check(({ value, issues }) => {
      const count = codePoints(value)
      const bound = { origin: 'string', inclusive: true, input: value, continue: true } as const
      if (count < least) issues.push({ code: 'too_small', minimum: least, ...bound })
      if (most !== undefined && count > most) issues.push({ code: 'too_big', maximum: most, ...bound })
      if (LONE_SURROGATE.test(value)) issues.push(illFormed(value, [], 'string'))
    })
    .meta(size)
}

/** A string that stands for something: its type in TypeScript is its own. */
export function branded<T extends string>(schema: z.ZodString): z.ZodType<T, string> {
  return schema as unknown as z.ZodType<T, string>
}

/** One of the events that the storage writes, or `custom:` and the caller's own name. */
export function eventType<T extends string>(known: readonly string[]): z.ZodType<T, string> {
  const schema = text(0).check(({ value, issues }) => {
    if (known.includes(value) || (value.startsWith('custom:') && value.length > 'custom:'.length)) return
    const message = 'Invalid event type'
    issues.push({
      code: 'invalid_format',
      origin: 'string',
      format: 'event_type',
      message,
      input: value,
      continue: true,
    })
  })
  return branded<T>(schema)
}

/** A safe integer from `least` on. */
export function integer(least: number): z.ZodInt {
  return z.int().min(least)
}

/** An instant that has a text form of four digits a year: 1970 to 9999. */
export function timestamp(): z.ZodDate {
  return z.date().min(new Date(0)).max(LATEST)
}

/** An array of any length, or of at most `most` items: if there are more, none of them is looked at. */
export function list<T extends z.ZodType>(element: T, most?: number): z.ZodArray<T> {
  if (most === undefined) return z.array(element)
  const schema = new CappedArray({ type: 'array', element, most })
  return schema.meta({ maxItems: most }) as unknown as z.ZodArray<T>
}

interface CappedArrayDef extends z.core.$ZodArrayDef {
  readonly most: number
}

const CappedArray = z.core.$constructor<z.ZodArray, CappedArrayDef>('FlowkeepCappedArray', (inst, def) => {
  z.ZodArray.init(inst, def)
  const parse = inst._zod.parse
  inst._zod.parse = (payload, ctx) => {
    const input: unknown = payload.value
    if (!Array.isArray(input) || input.length <= def.most) return parse(payload, ctx)
    const issue = {
      code: 'too_big',
      origin: 'array',
      maximum: def.most,
      inclusive: true,
      input,
      inst,
    } as const
    payload.issues.push(issue)
    return payload
  }
})

/** The same object schema for plain objects only: no `Map`, no instance of a class, no symbol keys. */
export function plain<T extends z.ZodObject>(schema: T): T {
  return new PlainObject(schema._zod.def) as unknown as T
}

const PlainObject = z.core.$constructor<z.ZodObject, z.core.$ZodObjectDef>('FlowkeepObject', (inst, def) => {
  z.ZodObject.init(inst, def)
  const parse = inst._zod.parse
  inst._zod.parse = (payload, ctx) => {
    const input: unknown = payload.value
    if (typeof input !== 'object' || input === null || Array.isArray(input)) return parse(payload, ctx)
    if (!isPlainObject(input)) {
      payload.issues.push({ code: 'invalid_type', expected: 'object', input, inst })
      return payload
    }
    if (hasSymbolKeys(input)) payload.issues.push(symbolKeys(input, []))
    // Only what is its own and can be seen: the same that is written down for Rust.
    const fields: Record<string, unknown> = Object.create(null)
    for (const key of Object.keys(input)) fields[key] = item(input, key)
    payload.value = fields
    return parse(payload, ctx)
  }
})

/** Any JSON value. */
export function json(limits?: JsonLimits): z.ZodType<Json, Json> {
  const schema = z.unknown().check(({ value, issues }) => walk(value, issues, limits))
  return schema as unknown as z.ZodType<Json, Json>
}

/** A JSON object. */
export function jsonObject(limits?: JsonLimits): z.ZodType<JsonObject, JsonObject> {
  const schema = z
    .unknown()
    .check(({ value, issues }) => {
      if (typeof value === 'object' && value !== null && !Array.isArray(value) && isPlainObject(value)) {
        walk(value, issues, limits)
      } else issues.push({ code: 'invalid_type', expected: 'object', input: value })
    })
    .meta({ type: 'object' })
  return schema as unknown as z.ZodType<JsonObject, JsonObject>
}

/** Thrown out of a walk that has seen enough. */
const ENOUGH = Symbol('enough')

function walk(root: unknown, issues: Issues, limits: JsonLimits | undefined): void {
  const deepest = limits?.depth ?? DEEPEST
  const found: Issues = []
  const around = new Set<object>()
  let [nodes, wasDeep, negativeZeros] = [MOST_NODES, false, 0]

  const add = (issue: Issues[number]): void => {
    found.push(issue)
    if (found.length >= JSON_ISSUES) throw ENOUGH
  }
  const spend = (count: number): void => {
    nodes -= count
    if (nodes >= 0) return
    found.push(tooBig(root, limits?.bytes ?? Number.MAX_SAFE_INTEGER, 'bytes'))
    throw ENOUGH
  }
  const visit = (value: unknown, path: PropertyKey[]): void => {
    if (typeof value === 'string') {
      if (LONE_SURROGATE.test(value)) add(illFormed(value, path, 'string'))
    } else if (typeof value === 'number' && Number.isFinite(value)) {
      if (Object.is(value, -0)) negativeZeros += 1
    } else if (typeof value === 'object' && value !== null) {
      visitObject(value, path)
    } else if (typeof value !== 'boolean' && value !== null) {
      add({ code: 'invalid_type', expected: 'json', input: value, path })
    }
  }
  const visitObject = (value: object, path: PropertyKey[]): void => {
    if (around.has(value)) {
      return add({ code: 'custom', message: 'Invalid input: circular reference', input: value, path })
    }
    const array = Array.isArray(value)
    if (!array && !isPlainObject(value))
      return add({ code: 'invalid_type', expected: 'json', input: value, path })
    if (around.size >= deepest) {
      if (!wasDeep) add(tooBig(root, deepest, 'levels'))
      wasDeep = true
      return
    }
    around.add(value)
    if (array) visitItems(value, path)
    else visitFields(value, path)
    around.delete(value)
  }
  const visitItems = (value: readonly unknown[], path: PropertyKey[]): void => {
    spend(value.length + 1)
    for (let index = 0; index < value.length; index++) visit(item(value, index), [...path, index])
  }
  const visitFields = (value: object, path: PropertyKey[]): void => {
    if (hasSymbolKeys(value)) add(symbolKeys(value, path))
    for (const key of Object.keys(value)) {
      spend(1)
      const at = [...path, key]
      if (LONE_SURROGATE.test(key)) add(illFormed(key, at, 'key'))
      visit(item(value, key), at)
    }
  }

  try {
    visit(root, [])
  } catch (reason) {
    if (reason !== ENOUGH) throw reason
  }
  if (found.length === 0 && limits !== undefined && isLonger(root, limits.bytes - negativeZeros)) {
    found.push(tooBig(root, limits.bytes, 'bytes'))
  }
  issues.push(...found)
}

/** Whether a JSON value is more than `most` bytes of text. */
function isLonger(value: unknown, most: number): boolean {
  const text = JSON.stringify(value)
  return text.length * 3 > most && new TextEncoder().encode(text).length > most
}

function codePoints(value: string): number {
  let count = value.length
  for (let index = 1; index < value.length; index++) {
    if ((value.charCodeAt(index) & 0xfc00) !== 0xdc00 || (value.charCodeAt(index - 1) & 0xfc00) !== 0xd800)
      continue
    count -= 1
  }
  return count
}

function illFormed(input: string, path: PropertyKey[], what: 'string' | 'key'): Issues[number] {
  const message = `Invalid ${what}: must be well-formed Unicode`
  return {
    code: 'invalid_format',
    origin: 'string',
    format: 'well_formed',
    message,
    input,
    path,
    continue: true,
  }
}

function symbolKeys(input: object, path: PropertyKey[]): Issues[number] {
  return {
    code: 'custom',
    message: 'Invalid input: symbol keys are not allowed',
    input,
    path,
    continue: true,
  }
}

function tooBig(input: unknown, maximum: number, unit: 'bytes' | 'levels'): Issues[number] {
  const message = `Too big: expected json to have <=${maximum} ${unit}`
  return { code: 'too_big', origin: 'json', maximum, inclusive: true, message, input }
}
