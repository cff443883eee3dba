/**
 * Writes any JavaScript value down as text, so that Rust can judge it. Nothing is judged here.
 *
 * What is JSON becomes JSON. Anything else becomes the tagged form: JSON in which every array starts with
 * a word that says what it is (`core/src/schema/scan.rs` has the list), so that no value of the caller can
 * pass for a tag.
 */

/** A value as text. */
export interface Encoded {
  readonly text: string
  /** Whether `text` is in the tagged form. */
  readonly tagged: boolean
}

/** A JSON value nests no deeper than this: the same bound as in Rust. */
export const DEEPEST = 1_000
/** What is written down may hold JSON values some levels below its root. */
const DEEPEST_WRITTEN = DEEPEST + 8
/** So many values are written down: an object that is shared again and again could hold 2^64. */
export const MOST_NODES = 4_000_000
/** So many UTF-16 units of strings: half of what one string of V8 can hold. */
const MOST_UNITS = 256_000_000

/** What is left of the two bounds in the present call. */
let nodes = 0
let units = 0

/** Never throws, never hangs. */
export function encode(value: unknown): Encoded {
  try {
    nodes = MOST_NODES
    units = MOST_UNITS
    if (isJson(value, 0)) return { text: JSON.stringify(value), tagged: false }
  } catch {
    // A getter or a proxy threw, or the text would be too long: the tagged form says where.
  }
  try {
    nodes = MOST_NODES
    units = MOST_UNITS
    return { text: write(value, 0, new Set()), tagged: true }
  } catch {
    return { text: tag('big', 'object'), tagged: true }
  }
}

/** Whether `JSON.stringify` says everything there is to say. */
function isJson(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
      units -= value.length
      return units >= 0
    case 'number':
      // -0 is a number of its own, which JSON can hold and `JSON.stringify` does not write.
      return Number.isFinite(value) && (value !== 0 || 1 / value > 0)
    case 'boolean':
      return true
    case 'object':
      return value === null || isJsonContainer(value, depth)
    default:
      return false
  }
}

function isJsonContainer(value: object, depth: number): boolean {
  if (depth >= DEEPEST_WRITTEN) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value)) {
    if (prototype !== Array.prototype || hasToJson(value)) return false
    nodes -= value.length + 1
    if (nodes < 0) return false
    for (let index = 0; index < value.length; index++) {
      if (!isJson(value[index], depth + 1)) return false
    }
    return true
  }
  if (prototype !== Object.prototype && (prototype !== null || 'constructor' in value)) return false
  if (hasToJson(value)) return false
  for (const key in value) {
    if (--nodes < 0 || !isJson((value as Record<string, unknown>)[key], depth + 1)) return false
  }
  return Object.getOwnPropertySymbols(value).length === 0
}

function hasToJson(value: object): boolean {
  return typeof (value as { toJSON?: unknown }).toJSON === 'function'
}

function write(value: unknown, depth: number, around: Set<object>): string {
  switch (typeof value) {
    case 'string':
      units -= value.length
      return units < 0 ? tag('big', 'string') : JSON.stringify(value)
    case 'number':
      if (!Number.isFinite(value)) return tag('number', String(value))
      return Object.is(value, -0) ? '-0' : String(value)
    case 'boolean':
      return String(value)
    case 'undefined':
      return '["undefined"]'
    case 'object':
      return value === null ? 'null' : writeObject(value, depth, around)
    default:
      return tag('other', typeof value)
  }
}

function writeObject(value: object, depth: number, around: Set<object>): string {
  try {
    const name = typeName(value)
    if (around.has(value)) return tag('cycle', name)
    if (--nodes < 0) return tag('big', name)
    const array = Array.isArray(value)
    if (!array && !isPlainObject(value)) return writeInstance(value, name)
    if (depth >= DEEPEST_WRITTEN) return tag('deep', name)
    around.add(value)
    const text = array ? writeArray(value, depth, around) : writeFields(value, name, depth, around)
    around.delete(value)
    return text
  } catch {
    around.delete(value)
    return tag('other', 'unreadable')
  }
}

function writeInstance(value: object, name: string): string {
  if (!(value instanceof Date)) return tag('other', name)
  const time = Date.prototype.getTime.call(value)
  return `["date",${Number.isNaN(time) ? 'null' : time},${JSON.stringify(name)}]`
}

function writeArray(value: readonly unknown[], depth: number, around: Set<object>): string {
  nodes -= value.length
  if (nodes < 0) return tag('big', 'array')
  let text = '["["'
  for (let index = 0; index < value.length; index++) {
    text += `,${write(item(value, index), depth + 1, around)}`
  }
  return `${text}]`
}

function writeFields(value: object, name: string, depth: number, around: Set<object>): string {
  let text = ''
  for (const key of Object.keys(value)) {
    if (--nodes < 0) return tag('big', name)
    units -= key.length
    if (units < 0) return tag('big', name)
    text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${write(item(value, key), depth + 1, around)}`
  }
  const symbols = hasSymbolKeys(value)
  if (!symbols && name === 'object') return `{${text}}`
  return `["{",${JSON.stringify(name)},${symbols ? 1 : 0},{${text}}]`
}

/** Stands for what can't be read. The name of its class is what it shows as, to Rust and to zod alike. */
export const unreadable: unknown = new (class unreadable {})()

/** Reads a field or an item, even where reading throws. */
export function item(value: object, key: string | number): unknown {
  try {
    return (value as Record<string | number, unknown>)[key]
  } catch {
    return unreadable
  }
}

/** Whether a value's own fields are all that it is: an object literal, `JSON.parse`'s, of any realm. */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return true
  return (
    typeof prototype === 'object' &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype as object, 'isPrototypeOf')
  )
}

/** Whether an object has keys that no text can hold. */
export function hasSymbolKeys(value: object): boolean {
  const symbols = Object.getOwnPropertySymbols(value)
  return symbols.some((symbol) => Object.prototype.propertyIsEnumerable.call(value, symbol))
}

/** What zod's messages call an object: its class, if it has one. */
function typeName(value: object): string {
  if (Array.isArray(value)) return 'array'
  if (Object.getPrototypeOf(value) !== Object.prototype && 'constructor' in value && value.constructor) {
    return String(value.constructor.name)
  }
  return 'object'
}

function tag(word: string, name: string): string {
  return `["${word}",${JSON.stringify(name)}]`
}
