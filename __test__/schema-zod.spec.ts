import { describe, expect, it } from 'vitest'
import * as z from 'zod'

import { toJsonSchema } from '../js/schemas.js'
import { SessionDataSchema, SessionIdSchema, SessionSchema, StepUpdateSchema } from '../js/zod/index.js'

describe('the zod module', () => {
  it('is zod as anyone writes it', () => {
    expect(SessionDataSchema).toBeInstanceOf(z.ZodObject)
    expect(Object.keys(SessionDataSchema.shape)).toEqual(['title', 'tags', 'metadata'])
    expect(SessionDataSchema.shape.title.safeParse('x').success).toBe(true)
    expect(SessionSchema.pick({ title: true }).parse({ title: 'x', other: 1 })).toEqual({ title: 'x' })
    expect(StepUpdateSchema.partial().parse({})).toEqual({})
    const id: string = SessionIdSchema.parse('ses_a')
    expect(id).toBe('ses_a')
  })

  it('can be extended, and an extension still takes plain objects only', () => {
    const Own = SessionDataSchema.extend({ metadata: z.object({ team: z.string() }) })
    const data: z.infer<typeof Own> = Own.parse({ title: 'x', metadata: { team: 'a' } })
    expect(data.metadata.team).toBe('a')
    expect(Own.safeParse({ metadata: { team: 1 } }).error?.issues).toMatchObject([
      { path: ['metadata', 'team'] },
    ])
    expect(Own.safeParse(new Map()).success).toBe(false)
  })

  it('has a JSON Schema', () => {
    expect(z.toJSONSchema(SessionDataSchema)).toMatchObject({
      additionalProperties: false,
      properties: {
        title: { type: 'string', minLength: 1, maxLength: 500 },
        tags: { type: 'array', maxItems: 32, items: { maxLength: 64 } },
        metadata: { type: 'object' },
      },
    })
  })

  it('works asynchronously and in reports of the standard', async () => {
    expect((await SessionDataSchema.safeParseAsync({ title: '' })).error?.issues).toHaveLength(1)
    expect(SessionDataSchema['~standard'].validate({})).toEqual({ value: {} })
  })
})

describe("a caller's own schema", () => {
  it('is a JSON Schema, or anything that has one', () => {
    const own = z.object({ team: z.string().max(5) })
    expect(JSON.parse(toJsonSchema(own))).toMatchObject({ type: 'object', required: ['team'] })
    expect(toJsonSchema({ type: 'object' })).toBe('{"type":"object"}')
    expect(toJsonSchema(true)).toBe('true')
    expect(toJsonSchema(undefined)).toBe('null')
    expect(toJsonSchema(null)).toBe('null')
    expect(() => toJsonSchema(z.object({ at: z.date() }))).toThrow()
  })
})
