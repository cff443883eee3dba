import type { BreakerConfig, CustomStrategy, ErrorMatch } from './breaker-types.js'

/** The parts of a configuration that are the caller's own code. */
export interface BreakerHooks {
  readonly isFailure: ((errorOrResult: unknown) => boolean) | undefined
  readonly ignore: readonly ErrorMatch[] | undefined
  readonly record: readonly ErrorMatch[] | undefined
  readonly custom: CustomStrategy | undefined
  readonly fallback: { readonly value: unknown } | undefined
}

/** The hooks of a configuration. */
export function hooksOf(config: BreakerConfig): BreakerHooks {
  const { isFailure, ignore, record, strategy } = config
  const custom = typeof strategy === 'function' ? strategy : undefined
  const fallback = 'fallback' in config ? { value: config.fallback } : undefined
  return { isFailure, ignore, record, custom, fallback }
}

/** What the caller's own rule says; one that throws says that it is so, and the call's own end stays what it is. */
export function judged(rule: (value: unknown) => boolean, value: unknown): boolean {
  try {
    return rule(value) === true
  } catch {
    return true
  }
}

/** Whether an error is in a list. */
export function matches(list: readonly ErrorMatch[], error: unknown): boolean {
  const { code, name } = (typeof error === 'object' && error !== null ? error : {}) as {
    code?: unknown
    name?: unknown
  }
  return list.some((one) => (typeof one === 'string' ? one === code || one === name : error instanceof one))
}
