import { encode } from './encode.js'
import { type Issue, ValidationError } from './errors.js'
import type {
  Chain,
  ChainData,
  ChainUpdate,
  CustomEvent,
  Event,
  Json,
  Session,
  SessionData,
  SessionUpdate,
  Step,
  StepData,
  StepUpdate,
} from './generated/records.js'
import { checkSchema } from './native-binding.js'

/** What a check found: the value as it is stored, or everything that is wrong with it. */
export type SafeParseResult<T> =
  | { readonly success: true; readonly data: T }
  | { readonly success: false; readonly error: ValidationError }

/** The part of Standard Schema V1 that a schema here has; see https://standardschema.dev. */
export interface StandardProps<T> {
  readonly version: 1
  readonly vendor: 'flowkeep'
  readonly validate: (value: unknown) => StandardResult<T>
  readonly types?: { readonly input: T; readonly output: T } | undefined
}

/** What Standard Schema calls the result of a check. */
export type StandardResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path: readonly (string | number)[] }[] }

/** A schema: what the storage itself checks, for use without a storage. */
export interface Schema<T> {
  /** The value as it is stored. Throws a `ValidationError` that tells every issue. */
  parse(value: unknown): T
  /** The same without throwing. */
  safeParse(value: unknown): SafeParseResult<T>
  readonly '~standard': StandardProps<T>
}

/** The fields that hold dates. The engine's text has them in ISO form. */
const DATES = ['createdAt', 'updatedAt', 'expiresAt', 'startedAt', 'completedAt', 'archivedAt', 'at'] as const

function checked<T>(name: string, value: unknown): { data: T } | { issues: readonly Issue[] } {
  const { text, tagged } = encode(value)
  const answer = checkSchema(name, text, tagged)
  const parsed: unknown = JSON.parse(answer.slice(1))
  if (!answer.startsWith('=')) return { issues: parsed as readonly Issue[] }
  const fields = parsed as Record<string, Json | Date>
  for (const field of DATES) {
    const date = fields[field]
    if (typeof date === 'string') fields[field] = new Date(date)
  }
  return { data: fields as T }
}

function invalid(issues: readonly Issue[]): ValidationError {
  return new ValidationError({
    code: 'STORAGE_INVALID',
    message: 'the input is not valid',
    operation: 'parse',
    retryable: false,
    attempts: 1,
    outcome: 'not-applied',
    issues,
  })
}

function schema<T>(name: string): Schema<T> {
  const safeParse = (value: unknown): SafeParseResult<T> => {
    const result = checked<T>(name, value)
    if ('data' in result) return { success: true, data: result.data }
    return { success: false, error: invalid(result.issues) }
  }
  const parse = (value: unknown): T => {
    const result = safeParse(value)
    if (result.success) return result.data
    throw result.error
  }
  const validate = (value: unknown): StandardResult<T> => {
    const result = checked<T>(name, value)
    return 'data' in result ? { value: result.data } : { issues: result.issues }
  }
  return Object.freeze({
    parse,
    safeParse,
    '~standard': Object.freeze({ version: 1, vendor: 'flowkeep', validate }),
  })
}

/** The schemas of records, and of what is given to create and change them, with the default limits. */
export const schemas = Object.freeze({
  session: schema<Session>('session'),
  sessionData: schema<SessionData>('sessionData'),
  sessionUpdate: schema<SessionUpdate>('sessionUpdate'),
  chain: schema<Chain>('chain'),
  chainData: schema<ChainData>('chainData'),
  chainUpdate: schema<ChainUpdate>('chainUpdate'),
  step: schema<Step>('step'),
  stepData: schema<StepData>('stepData'),
  stepUpdate: schema<StepUpdate>('stepUpdate'),
  event: schema<Event>('event'),
  customEvent: schema<CustomEvent>('customEvent'),
})

/** What has a JSON Schema to give: Standard JSON Schema V1. */
interface StandardJsonSchema {
  readonly '~standard': {
    readonly jsonSchema: { readonly input: (options: { readonly target: string }) => unknown }
  }
}

function isStandard(value: unknown): value is StandardJsonSchema {
  const props: unknown = (value as Partial<StandardJsonSchema> | null | undefined)?.['~standard']
  const generator: unknown = (props as Partial<StandardJsonSchema['~standard']> | undefined)?.jsonSchema
  return typeof (generator as { input?: unknown } | undefined)?.input === 'function'
}

/**
 * The JSON Schema text of a caller's own schema: a JSON Schema as it is, or anything with Standard JSON
 * Schema, zod's schemas among them. Throws what the schema throws if it has no JSON Schema to give.
 */
export function toJsonSchema(value: unknown): string {
  const given = isStandard(value) ? value['~standard'].jsonSchema.input({ target: 'draft-2020-12' }) : value
  return JSON.stringify(given) ?? 'null'
}
