// What the schema tests feed to the validators: right values, nearly right ones, and hostile ones.

import fc from 'fast-check'

class Plainish {
  title = 'a field of an instance'
}
class Items extends Array<unknown> {}

function argumentsObject(...values: unknown[]): unknown {
  return (function () {
    // biome-ignore lint/complexity/noArguments: the object itself is the point
    return arguments
  })(...(values as []))
}

function nested(depth: number, array: boolean): unknown {
  let value: unknown = 1
  for (let level = 0; level < depth; level++) value = array ? [value] : { a: value }
  return value
}

function hidden(): object {
  return Object.defineProperty({ seen: 1 }, 'title', { value: 'hidden', enumerable: false })
}

/** Makes of a value what no text can hold, or what is odd in another way. Fresh each time. */
const odd: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => Number.NaN,
  () => Number.POSITIVE_INFINITY,
  () => Number.NEGATIVE_INFINITY,
  () => -0,
  () => 0,
  () => -1,
  () => 1.5,
  () => 2 ** 53,
  () => -(2 ** 53),
  () => 1e300,
  () => -1e300,
  () => 5e-324,
  () => true,
  () => 10n,
  () => Symbol('s'),
  () => Symbol.iterator,
  () => () => 1,
  () => class Named {},
  () => new Date(0),
  () => new Date(-1),
  () => new Date(253_402_300_799_999),
  () => new Date(253_402_300_800_000),
  () => new Date(Number.NaN),
  () => new Map([['title', 'x']]),
  () => new Set(['x']),
  () => new WeakMap(),
  () => /x/,
  () => new Error('x'),
  () => Promise.resolve(1),
  () => new URL('http://localhost/'),
  () => new Uint8Array(3),
  () => Buffer.from('abc'),
  () => new ArrayBuffer(2),
  () => new Plainish(),
  () => new (class {})(),
  () => new Items(),
  () => Items.from(['a', 'b']),
  () => Object.create({ title: 'inherited' }),
  () => Object.assign(Object.create(null), { a: 1 }),
  () => Object.assign(Object.create(null), { constructor: { name: 'Shown' } }),
  () => ({ constructor: { name: 'Not shown' } }),
  () => ({ toJSON: () => 'x' }),
  () => ({ toJSON: 'x' }),
  // biome-ignore lint/suspicious/noThenProperty: what looks like a promise is hostile
  () => ({ then: () => 1, catch: () => 1 }),
  () => ({ length: 5 }),
  () => ({ [Symbol('key')]: 1 }),
  () => ({ [Symbol('key')]: 1, a: undefined }),
  () => hidden(),
  () => JSON.parse('{"__proto__":{"a":1},"constructor":1}'),
  () => ({
    get title() {
      return 'from a getter'
    },
  }),
  () => new Proxy({ a: 1 }, {}),
  () => new Proxy(['a'], {}),
  () => new Proxy(new Map(), {}),
  () => argumentsObject(1, 2),
  () => Object('boxed'),
  () => Object(1),
  () => Object(false),
  () => globalThis.Math,
  () => JSON,
  () => Object.freeze({ a: Object.freeze([1]) }),
  // biome-ignore lint/suspicious/noSparseArray: the hole is the point
  () => ['a', , 'b'],
  () => [undefined],
  () => ['undefined'],
  () => ['date', 0, 'Date'],
  () => ['[', 'a'],
  () => ['{', 'object', 0, {}],
  () => [],
  () => ({}),
  () => '',
  () => ' ',
  () => '\u0000',
  () => '\ud800',
  () => 'a\udc00b',
  () => '\ud83d\ud83d\ude00',
  () => ({ '\ud800': 1 }),
  () => ({ a: { b: ['\udfff'] } }),
  () => 'custom:',
  () => 'custom:x',
  () => `custom:${'é'.repeat(64)}`,
  () => `custom:${'😀'.repeat(65)}`,
  () => 'session:created',
  () => 'x'.repeat(128),
  () => 'x'.repeat(129),
  () => '😀'.repeat(128),
  () => '😀'.repeat(129),
  () => '😀'.repeat(500),
  () => `${'😀'.repeat(500)}x`,
  () => '\n"\\'.repeat(700),
  () => 'é'.repeat(2_001),
  () => Array.from({ length: 32 }, () => 'tag'),
  () => Array.from({ length: 33 }, () => 'tag'),
  () => Array.from({ length: 33 }, () => 1),
  () => Array.from({ length: 150 }, () => Number.NaN),
  () => Array.from({ length: 1_001 }, () => 'stp_x'),
  () => nested(62, false),
  () => nested(63, false),
  () => nested(64, false),
  () => nested(65, false),
  () => nested(63, true),
  () => nested(64, true),
  () => ({ a: nested(70, true), b: nested(70, false), c: undefined }),
  () => nested(999, true),
  () => nested(1_000, false),
  () => nested(1_001, false),
  () => nested(5_000, true),
  () => ({ a: [{ b: [Number.NaN, { c: 1n }] }, -0, new Date(0)] }),
]

const odds = fc.constantFrom(...odd).map((make) => make())

/** Anything at all. */
export const hostile: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: odds },
  {
    weight: 1,
    arbitrary: fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
      maxDepth: 3,
    }),
  },
)

const text = (least: number, most: number) =>
  fc.string({ unit: 'grapheme', minLength: least, maxLength: most })
const date = fc.date({ min: new Date(0), max: new Date(253_402_300_799_999), noInvalidDate: true })
const id = text(1, 20)
const count = fc.nat()
const integer = fc.integer({ min: 1 })
const jsonObject = fc.dictionary(text(0, 10), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 })
const json = fc.jsonValue({ maxDepth: 3 })
const tags = fc.array(text(1, 10), { maxLength: 4 })
const ids = fc.array(id, { maxLength: 3 })
const sessionState = fc.constantFrom('active', 'paused', 'completed')
const chainStatus = fc.constantFrom('pending', 'in_progress', 'completed', 'failed', 'cancelled')
const source = fc.constantFrom('flow', 'composed', 'meta-task')
const stepStatus = fc.constantFrom('pending', 'in_progress', 'completed', 'failed', 'skipped')
const stepCounts = fc.record({
  total: count,
  pending: count,
  inProgress: count,
  completed: count,
  failed: count,
  skipped: count,
})
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null })

const session = {
  sessionId: id,
  userId: id,
  state: sessionState,
  title: text(1, 20),
  tags,
  metadata: jsonObject,
  createdAt: date,
  updatedAt: date,
  expiresAt: orNull(date),
  version: integer,
}
const chain = {
  chainId: id,
  sessionId: id,
  title: text(1, 20),
  source,
  status: chainStatus,
  stepOrder: ids,
  stepCounts,
  summary: text(0, 20),
  metadata: jsonObject,
  startedAt: date,
  completedAt: date,
  archivedAt: date,
  createdAt: date,
  updatedAt: date,
  version: integer,
}
const step = {
  stepId: id,
  chainId: id,
  sessionId: id,
  stepNumber: integer,
  action: text(1, 20),
  model: text(1, 20),
  inputs: jsonObject,
  waitsFor: ids,
  status: stepStatus,
  result: json,
  error: text(0, 20),
  attempt: integer,
  startedAt: date,
  completedAt: date,
  createdAt: date,
  updatedAt: date,
  version: integer,
}
const event = {
  eventId: id,
  type: fc.constantFrom('session:created', 'step:retried', 'log:trimmed', 'custom:x'),
  sessionId: id,
  chainId: id,
  stepId: id,
  userId: id,
  at: date,
  data: jsonObject,
}

type Fields = Record<string, fc.Arbitrary<unknown>>

function record(fields: Fields, ...optional: string[]): fc.Arbitrary<Record<string, unknown>> {
  const requiredKeys = Object.keys(fields).filter((name) => !optional.includes(name))
  return fc.record(fields, { requiredKeys, noNullPrototype: true })
}

function partial(fields: Fields): fc.Arbitrary<Record<string, unknown>> {
  return record(fields, ...Object.keys(fields))
}

/** Values that are right, by schema. */
export const valid = {
  session: record(session, 'title'),
  sessionData: partial({ title: session.title, tags, metadata: jsonObject }),
  sessionUpdate: partial({ ...session, title: orNull(session.title) }),
  chain: record(chain, 'source', 'summary', 'startedAt', 'completedAt', 'archivedAt'),
  chainData: record(
    { title: chain.title, source, summary: chain.summary, metadata: jsonObject },
    'source',
    'summary',
    'metadata',
  ),
  chainUpdate: partial({ ...chain, source: orNull(source), summary: orNull(chain.summary) }),
  step: record(step, 'model', 'result', 'error', 'startedAt', 'completedAt'),
  stepData: record(
    { action: step.action, model: step.model, inputs: jsonObject, waitsFor: ids },
    'model',
    'inputs',
    'waitsFor',
  ),
  stepUpdate: partial({ ...step, model: orNull(step.model), error: orNull(step.error) }),
  event: record(event, 'chainId', 'stepId'),
  customEvent: record({ type: fc.constantFrom('custom:a', 'custom:ü😀'), data: jsonObject }, 'data'),
}

export type Name = keyof typeof valid
export const names = Object.keys(valid) as Name[]

/** Sets what may be `__proto__` without touching the prototype; what can't be set there stays away. */
function put(target: object, key: PropertyKey, value: unknown): void {
  try {
    Reflect.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true })
  } catch {
    // A typed array makes a number of the value first, which may throw.
  }
}

/** Objects that the whole process shares: what is put into them stays there for every value that follows. */
const shared: ReadonlySet<unknown> = new Set([globalThis.Math, JSON])

interface Change {
  readonly kind: 'replace' | 'drop' | 'add' | 'inside' | 'item'
  readonly at: number
  readonly key: string
  readonly value: unknown
}

function changed(value: Record<string, unknown>, { kind, at, key, value: other }: Change): void {
  const keys = Object.keys(value)
  const chosen = keys[at % Math.max(keys.length, 1)] ?? 'title'
  const inner = value[chosen]
  if (kind === 'drop') Reflect.deleteProperty(value, chosen)
  else if (kind === 'add') put(value, key, other)
  else if (kind === 'item' && Array.isArray(inner)) value[chosen] = [other, ...inner]
  else if (kind === 'inside' && typeof inner === 'object' && inner !== null && !shared.has(inner)) {
    put(inner, key, other)
  } else value[chosen] = other
}

/** A right value with a few things made wrong, or hostile, or only odd. */
export function mutated(name: Name, leaf: fc.Arbitrary<unknown> = hostile): fc.Arbitrary<unknown> {
  const change: fc.Arbitrary<Change> = fc.record({
    kind: fc.constantFrom('replace', 'replace', 'drop', 'add', 'inside', 'item'),
    at: fc.nat(40),
    key: fc.oneof(
      fc.constantFrom(
        'x',
        '__proto__',
        'constructor',
        'toString',
        '1',
        '\ud800',
        'title',
        'metadata',
        'a b"\\',
      ),
      text(0, 6),
    ),
    value: leaf,
  })
  const changes = fc.array(change, { minLength: 1, maxLength: 4 })
  return fc.tuple(valid[name], changes).map(([value, list]) => {
    for (const one of list) changed(value, one)
    return value
  })
}

/** Values of JSON alone, right and wrong. */
export const jsonLeaf: fc.Arbitrary<unknown> = fc
  .oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom('', 'custom:', 'custom:x', '😀'.repeat(500), `${'😀'.repeat(500)}x`, 'é'.repeat(2_001)),
    fc.constantFrom(0, -1, 1.5, 2 ** 53, null, [], {}, '2026-01-31T12:00:00.000Z', '2026-01-31', 'active'),
  )
  .map((value) => structuredClone(value))
