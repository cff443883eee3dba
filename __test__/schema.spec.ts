import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'

import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type * as z from 'zod'

import { type Schema, schemas } from '../js/schemas.js'
import * as zod from '../js/zod/index.js'
import { hostile, jsonLeaf, mutated, type Name, names, valid } from './schema-values.js'

const runs = process.env.CI ? 20_000 : 2_000
const seed = Number(process.env.FLOWKEEP_SEED ?? Date.now()) % 2 ** 31
console.log(`schema properties: seed ${seed}, ${runs} values per schema (FLOWKEEP_SEED repeats a run)`)

const upper = (name: string) => `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`
const zodOf = (name: Name) =>
  (zod as unknown as Record<string, z.ZodType>)[`${upper(name)}Schema`] as z.ZodType
const ours = (name: Name) => schemas[name] as Schema<unknown>

type Verdict = { data: unknown } | { issues: readonly unknown[] }

/** The same value whichever prototype its objects have; half surrogates, which Rust can't hold, as U+FFFD. */
function normal(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(/\p{Surrogate}/gu, '\ufffd')
  if (value instanceof Date) return `Date ${value.getTime()}`
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return Array.from(value, normal)
  const entries = Object.entries(value).filter(([, field]) => field !== undefined)
  return new Map(entries.map(([key, field]) => [normal(key), normal(field)]))
}

function byRust(name: Name, value: unknown): Verdict {
  const result = ours(name).safeParse(value)
  return result.success ? { data: result.data } : { issues: result.error.issues }
}

function byZod(name: Name, value: unknown): Verdict {
  const result = zodOf(name).safeParse(value)
  return result.success ? { data: result.data } : { issues: result.error.issues }
}

function same(name: Name, value: unknown): void {
  const [rust, other] = [byRust(name, value), byZod(name, value)].map(normal)
  if (!isDeepStrictEqual(rust, other)) expect(rust).toEqual(other)
}

const { compile: ajv } = (() => {
  const instance = new Ajv2020({ strict: true, strictTypes: false, allErrors: true })
  instance.addFormat('date-time', isIso)
  const compile = (name: Name): ValidateFunction => {
    const file = join(import.meta.dirname, '..', 'schemas', `${upper(name)}.json`)
    return instance.compile(JSON.parse(readFileSync(file, 'utf8')))
  }
  return { compile }
})()

function isIso(text: string): boolean {
  const date = new Date(text)
  return text.length === 24 && date.getTime() >= 0 && date.toISOString() === text
}

/** A JSON value as JavaScript has it: ISO texts of date fields as `Date`. */
function withDates(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const fields = Object.entries(value).map(([name, field]) => {
    const date = /(At|^at)$/.test(name) && typeof field === 'string' && isIso(field)
    return [name, date ? new Date(field as string) : field]
  })
  return Object.fromEntries(fields)
}

describe.each(names)('%s', (name) => {
  it('takes what is right', () => {
    const property = fc.property(valid[name], (value) => {
      expect(byRust(name, value)).toHaveProperty('data')
      same(name, value)
    })
    fc.assert(property, { seed, numRuns: runs / 4 })
  })

  it('finds in wrong and hostile values what zod finds, in the same order and words', () => {
    const values = fc.oneof({ weight: 9, arbitrary: mutated(name) }, { weight: 1, arbitrary: hostile })
    fc.assert(
      fc.property(values, (value) => same(name, value)),
      { seed, numRuns: (runs * 3) / 4 },
    )
  }, 600_000)

  it('agrees with ajv on JSON', () => {
    const check = ajv(name)
    const property = fc.property(mutated(name, jsonLeaf), (value) => {
      const json: unknown = JSON.parse(JSON.stringify(value))
      const text = JSON.stringify(json)
      if (/\\ud[89a-f]/.test(text) || /"__proto__"/.test(text)) return
      expect({ json, valid: 'data' in byRust(name, withDates(json)) }).toEqual({ json, valid: check(json) })
    })
    fc.assert(property, { seed, numRuns: runs / 4 })
  })
})

describe('the hostile that zod itself does not survive', () => {
  const thrower = () => {
    throw new Error('no')
  }
  const traps = {
    get: thrower,
    ownKeys: thrower,
    getPrototypeOf: thrower,
    has: thrower,
    getOwnPropertyDescriptor: thrower,
  }
  const cycle: Record<string, unknown> = {}
  cycle.metadata = { inner: { cycle } }
  const bomb = Array.from({ length: 70 }).reduce<unknown>((inner) => ({ a: inner, b: inner }), {})
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()

  it.each<[string, unknown, unknown]>([
    ['a proxy that throws', new Proxy({}, traps), []],
    ['a revoked proxy', revoked.proxy, []],
    ['a revoked proxy inside', { metadata: { a: revoked.proxy } }, ['metadata', 'a']],
    ['a proxy that throws inside', { metadata: { a: new Proxy([], traps) } }, ['metadata', 'a']],
    [
      'a getter that throws',
      { title: 'x', metadata: Object.defineProperty({}, 'a', { get: thrower, enumerable: true }) },
      ['metadata', 'a'],
    ],
    [
      'a getter of a field that throws',
      Object.defineProperty({}, 'title', { get: thrower, enumerable: true }),
      ['title'],
    ],
    ['a cycle', cycle, ['metadata', 'inner', 'cycle']],
    ['an object of 2^70 paths', { metadata: bomb }, ['metadata']],
    ['a holey array of 2^32 - 1', { metadata: { a: new Array(2 ** 32 - 1) } }, ['metadata']],
    ['a holey array for tags', { tags: new Array(2 ** 32 - 1) }, ['tags']],
    [
      'a depth of 10,000',
      { metadata: Array.from({ length: 10_000 }).reduce<unknown>((a) => ({ a }), 1) },
      ['metadata'],
    ],
    ['a title of 10 MB', { title: 'x'.repeat(10_000_000) }, ['title']],
    ['a value of 10 MB', { metadata: { a: 'é'.repeat(5_000_000) } }, ['metadata']],
  ])('%s is an issue', (_, value, path) => {
    const result = schemas.sessionData.safeParse(value)
    expect(result.success ? result.data : result.error.issues[0]?.path).toEqual(path)
  })

  it('keeps exactly what only looks like a tag', () => {
    const metadata = { zero: -0, a: ['undefined'], b: ['date', 0, 'Date'], c: ['[', [], ['{', 'x', 0, {}]] }
    expect(schemas.sessionData.parse({ title: undefined, metadata })).toStrictEqual({ metadata })
  })

  it('measures a value in bytes of its text', () => {
    const least = '{"a":""}'.length
    const of = (length: number) => ({ metadata: { a: 'x'.repeat(length - least) } })
    expect(schemas.sessionData.safeParse(of(2 ** 20)).success).toBe(true)
    for (const value of [of(2 ** 20 + 1), { metadata: { a: 'é'.repeat(2 ** 19), zero: -0 } }]) {
      expect(schemas.sessionData.safeParse(value).success).toBe(false)
      same('sessionData', value)
    }
  })
})

describe('a schema', () => {
  it('parses to what it was given, dates included', () => {
    const at = new Date(1_700_000_000_000)
    const event = {
      eventId: 'evt_a',
      type: 'custom:x',
      sessionId: 'ses_a',
      userId: 'u',
      at,
      data: { list: [1] },
    }
    expect(schemas.event.parse({ ...event, unknown: 1 })).toStrictEqual(event)
  })

  it('throws a ValidationError with every issue', () => {
    expect(() => schemas.chainData.parse({ title: '', source: 'x' })).toThrow(
      expect.objectContaining({
        name: 'ValidationError',
        code: 'STORAGE_INVALID',
        issues: [expect.objectContaining({ path: ['title'] }), expect.objectContaining({ path: ['source'] })],
      }),
    )
  })

  it('is a Standard Schema', () => {
    const { version, vendor, validate } = schemas.stepData['~standard']
    expect([version, vendor]).toEqual([1, 'flowkeep'])
    expect(validate({ action: 'run' })).toEqual({ value: { action: 'run' } })
    expect(validate({ action: 1 })).toEqual({ issues: [expect.objectContaining({ path: ['action'] })] })
  })
})
