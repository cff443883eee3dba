/** Whether a value may be accepted at all. What is not legal has to be refused; what is may be stored exactly. */
export type Legal = (value: unknown) => boolean

export const never: Legal = () => false

export const absent: Legal = (value) => value === undefined

export const optional =
  (legal: Legal): Legal =>
  (value) =>
    value === undefined || legal(value)

export const clearable =
  (legal: Legal): Legal =>
  (value) =>
    value === undefined || value === null || legal(value)

export const text =
  (least: number, most: number): Legal =>
  (value) => {
    if (typeof value !== 'string' || value.length > 2 * most || /\p{Surrogate}/u.test(value)) return false
    const { length } = [...value]
    return length >= least && length <= most
  }

export const oneOf =
  (...values: readonly unknown[]): Legal =>
  (value) =>
    values.includes(value)

export const wholeNumber: Legal = (value) => Number.isSafeInteger(value) && (value as number) >= 0

export const positiveNumber: Legal = (value) => Number.isFinite(value) && (value as number) > 0

export const list =
  (item: Legal): Legal =>
  (value) =>
    isPlainList(value) && value.every((one) => item(one))

const mebibyte = 1024 * 1024

/** JSON of at most 64 levels and 1 MiB, with nothing in it that JSON could not hold. */
export const json: Legal = (value) => {
  try {
    return isJson(value, 64) && Buffer.byteLength(JSON.stringify(value)) <= mebibyte
  } catch {
    return false
  }
}

export const jsonObject: Legal = (value) =>
  typeof value === 'object' && value !== null && !isList(value) && json(value)

function isList(value: unknown): value is unknown[] {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** An array without holes, fields or a class of its own. */
function isPlainList(value: unknown): value is unknown[] {
  if (!isList(value) || Object.getPrototypeOf(value) !== Array.prototype) return false
  return Reflect.ownKeys(value).length === value.length + 1
}

function isJson(value: unknown, levels: number): boolean {
  if (value === null || typeof value === 'boolean') return true
  if (typeof value === 'string') return !/\p{Surrogate}/u.test(value)
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || levels === 0) return false
  if (isList(value)) return isPlainList(value) && value.every((item) => isJson(item, levels - 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  return Reflect.ownKeys(value).every((key) => {
    return typeof key === 'string' && isJson(key, 0) && isJson(Reflect.get(value, key), levels - 1)
  })
}

/** The value with ordinary prototypes, as it has to come back. */
export function ordinary(value: unknown): unknown {
  if (isList(value)) return value.map(ordinary)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  const copy = {}
  for (const key of Object.keys(value)) {
    const own = {
      value: ordinary(Reflect.get(value, key)),
      enumerable: true,
      writable: true,
      configurable: true,
    }
    Object.defineProperty(copy, key, own)
  }
  return copy
}
