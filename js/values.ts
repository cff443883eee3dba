import type { Calls } from './calls.js'
import { isPlainObject } from './encode.js'
import type { Json } from './generated/records.js'
import type { Revive } from './records.js'

/** A stored value: text, or bytes of any kind. */
export type Value = string | Uint8Array

/** Marks a value for the engine: `t` and the text, or `b` and the base64 form of bytes. What is neither stays for it to refuse. */
export function mark(value: unknown): unknown {
  if (typeof value === 'string') return `t${value}`
  if (value instanceof Uint8Array) return `b${base64(value)}`
  return value
}

/** Marks each of several values. */
export function marks(values: unknown): unknown {
  return Array.isArray(values) ? values.map(mark) : values
}

/** The base64 form of bytes. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** Bytes of their base64 form, in memory of their own. */
export function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'))
}

/** Where the engine wrote bytes, bytes. */
export function withBytes(written: unknown): unknown {
  if (Array.isArray(written)) return written.map(withBytes)
  if (typeof written !== 'object' || written === null) return written
  const { base64: text } = written as { base64?: unknown }
  if (typeof text === 'string') return fromBase64(text)
  return Object.fromEntries(Object.entries(written).map(([name, value]) => [name, withBytes(value)]))
}

/** An answer as it is. */
export const asIs: Revive = (written) => written

/** An answer with bytes. */
export const bytesOf: Revive = (written: Json) => withBytes(written)

/**
 * Makes a call whose arguments are one object; its options become part of it, but for the signal. `current` makes what a
 * conflict carries.
 */
export function ask(
  calls: Calls,
  operation: number,
  args: object,
  options: unknown,
  revive: Revive,
  current: Revive = asIs,
): Promise<unknown> {
  const { signal, rest } = withoutSignal(options)
  const data = rest === undefined ? args : { ...args, options: rest }
  return calls.byId(operation, '', data, signal === undefined ? undefined : { signal }, revive, true, current)
}

function withoutSignal(options: unknown): { signal: AbortSignal | undefined; rest: unknown } {
  try {
    if (typeof options === 'object' && options !== null && isPlainObject(options)) {
      // `in` looks at no getter: what the engine is told, it judges.
      if (!('signal' in options)) return { signal: undefined, rest: options }
      const { signal, ...rest } = options as { signal?: unknown }
      if (signal === undefined || signal instanceof AbortSignal) return { signal, rest }
    }
  } catch {
    // A getter that throws: the engine is told so.
  }
  return { signal: undefined, rest: options }
}
