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
    isShortList(value) && Array.from(value).every(item)

const mebibyte = 1024 * 1024

/** Whether a list may be looked at whole: one that says it is longer than any legal value is not. */
function isShortList(value: unknown): value is unknown[] {
  return Array.isArray(value) && value.length <= mebibyte
}

/** JSON of at most 64 levels and 1 MiB, with nothing in it that JSON could not hold. */
export const json: Legal = (value) =>
  isJson(value, 64) && Buffer.byteLength(JSON.stringify(value)) <= mebibyte

export const jsonObject: Legal = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && json(value)

/** Whether a value is legal. One that can't even be looked at is not. */
export function isLegal(legal: Legal, value: unknown): boolean {
  try {
    return legal(value)
  } catch {
    return false
  }
}

function isJson(value: unknown, levels: number): boolean {
  if (value === null || typeof value === 'boolean') return true
  if (typeof value === 'string') return !/\p{Surrogate}/u.test(value)
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || levels === 0) return false
  // Of a list only the items count. A hole is an undefined one.
  if (Array.isArray(value))
    return isShortList(value) && Array.from(value).every((item) => isJson(item, levels - 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  if (Object.getOwnPropertySymbols(value).length > 0) return false
  return Object.entries(value).every(([key, item]) => isJson(key, 0) && isJson(item, levels - 1))
}

/** The value with ordinary prototypes, as it has to come back. */
export function ordinary(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (isShortList(value)) return Array.from(value, ordinary)
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, ordinary(item)]))
}
