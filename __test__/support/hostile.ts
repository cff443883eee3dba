/** A value that no caller should give, and some that look as if. */
export interface Hostile {
  name: string
  /** Makes the value anew, since some of them change when they are used. */
  make(): unknown
  /** Text in it that is too long to be shown in a message. */
  text?: string
  /** Whether it has another value each time that it is looked at. */
  changing?: boolean
}

class Instance {
  a = 1
  get b(): number {
    return 2
  }
}

const hostile = (name: string, make: () => unknown): Hostile => ({ name, make })

const long = (name: string, text: string): Hostile => ({ name, make: () => text, text })

function cycle(): object {
  const self: Record<string, unknown> = { a: 1 }
  self.self = self
  return self
}

function cyclicList(): unknown[] {
  const self: unknown[] = []
  self.push([self])
  return self
}

/** `depth` containers in each other, made without recursion. */
function nest(depth: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = wrap(value)
  return value
}

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({ a: 1 }, {})
  revoke()
  return proxy
}

const thrower = () => {
  throw new Error('thrown by the value')
}

const trap = (name: keyof ProxyHandler<object>) =>
  hostile(`a Proxy whose ${name} throws`, () => new Proxy({ a: 1 }, { [name]: thrower }))

const primitives: readonly Hostile[] = [
  hostile('undefined', () => undefined),
  hostile('null', () => null),
  hostile('true', () => true),
  hostile('false', () => false),
  hostile('zero', () => 0),
  hostile('negative zero', () => -0),
  hostile('one and a half', () => 1.5),
  hostile('minus one', () => -1),
  hostile('NaN', () => Number.NaN),
  hostile('Infinity', () => Number.POSITIVE_INFINITY),
  hostile('-Infinity', () => Number.NEGATIVE_INFINITY),
  hostile('a number beyond the safe integers', () => 2 ** 53 + 2),
  hostile('the largest number', () => Number.MAX_VALUE),
  hostile('a BigInt', () => 1n),
  hostile('a Symbol', () => Symbol('s')),
  hostile('a registered Symbol', () => Symbol.for('s')),
]

const texts: readonly Hostile[] = [
  hostile('an empty text', () => ''),
  hostile('a NUL', () => '\u0000'),
  hostile('a line feed', () => 'a\nb'),
  hostile('a pattern of keys', () => 'flowkeep:{*}?[a-z]\\'),
  hostile('a high surrogate', () => 'a\ud800b'),
  hostile('a low surrogate', () => '\udc00'),
  hostile('swapped surrogates', () => '\udc00\ud800'),
  hostile('the name __proto__', () => '__proto__'),
  hostile('a text of JSON', () => '{"a":1}'),
  long('129 characters', 'y'.repeat(129)),
  long('2,001 emoji', '\u{1F600}'.repeat(2001)),
  long('a text of 1 MB', 'z'.repeat(1_000_000)),
  long('a text of 10 MB', 'w'.repeat(10_000_000)),
]

const functions: readonly Hostile[] = [
  hostile('a function', () => () => 1),
  hostile('an async function', () => async () => 1),
  hostile('a generator function', () => function* () {}),
  hostile('a function with fields', () => Object.assign(() => null, { a: 1 })),
]

/** Apart from the other functions, because to call it throws. */
const classes: readonly Hostile[] = [hostile('a class', () => Instance)]

const instances: readonly Hostile[] = [
  hostile('a Date', () => new Date(0)),
  hostile('an invalid Date', () => new Date(Number.NaN)),
  hostile('a Map', () => new Map([['a', 1]])),
  hostile('a Set', () => new Set([1])),
  hostile('a WeakMap', () => new WeakMap()),
  hostile('a RegExp', () => /a/g),
  hostile('an Error', () => new Error('an error')),
  hostile('a Promise', () => Promise.resolve(1)),
  hostile('an instance of a class', () => new Instance()),
  hostile('an object that inherits', () => Object.create({ a: 1 }, { b: { value: 1, enumerable: true } })),
  hostile('a boxed text', () => Object('text') as unknown),
  hostile('a boxed number', () => Object(1) as unknown),
  hostile('a boxed boolean', () => Object(false) as unknown),
  hostile('a Buffer', () => Buffer.from('bytes')),
  hostile('an ArrayBuffer', () => new ArrayBuffer(8)),
  hostile('a typed array', () => new Float64Array(2)),
  hostile('a URL', () => new URL('redis://user:secret@localhost')),
  hostile('an AbortController', () => new AbortController()),
  hostile('the global object', () => globalThis),
]

const objects: readonly Hostile[] = [
  hostile('a plain object', () => ({ a: 1 })),
  hostile('an object without a prototype', () => Object.assign(Object.create(null) as object, { a: 1 })),
  hostile('a cycle', cycle),
  hostile('a getter that throws', () => Object.defineProperty({}, 'a', { get: thrower, enumerable: true })),
  hostile('an own key __proto__', () => JSON.parse('{"__proto__":{"admin":true}}') as unknown),
  hostile('own keys constructor and prototype', () => ({ constructor: { prototype: { admin: true } } })),
  hostile('a key with a lone surrogate', () => ({ 'k\ud800': 1 })),
  hostile('a key that is a Symbol', () => ({ [Symbol('s')]: 1 })),
  hostile('a key of 1,000 characters', () => ({ ['k'.repeat(1000)]: 1 })),
  hostile('a thenable', () => Object.fromEntries([['then', () => undefined]])),
  hostile('a toJSON that lies', () => ({ toJSON: () => ({ a: 2 }) })),
  hostile('a toJSON that throws', () => ({ toJSON: thrower })),
  hostile('a toString that throws', () => ({
    toString: thrower,
    valueOf: thrower,
    [Symbol.toPrimitive]: thrower,
  })),
  hostile('undefined in an object', () => ({ a: undefined })),
  hostile('NaN deep inside', () => ({ a: [{ b: Number.NaN }] })),
  hostile('a BigInt deep inside', () => ({ a: [{ b: 1n }] })),
  hostile('a lone surrogate deep inside', () => ({ a: [{ b: '\udead' }] })),
  hostile('objects 10,000 deep', () => nest(10_000, (a) => ({ a }))),
  hostile('10,000 keys', () =>
    Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, Number.NaN])),
  ),
]

const arrays: readonly Hostile[] = [
  hostile('an empty list', () => []),
  hostile('a list of an object', () => [{ a: 1 }]),
  hostile('a list with a hole', () => Object.assign(new Array(3), { 0: 'a', 2: 'b' })),
  hostile('a list with a field', () => Object.assign(['a'], { extra: 1 })),
  hostile('a list of undefined', () => [undefined]),
  hostile('a list in itself', cyclicList),
  hostile('lists 10,000 deep', () => nest(10_000, (inner) => [inner])),
  hostile('a list of 100,000 numbers', () => Array.from({ length: 100_000 }, (_, i) => i)),
  hostile('a subclass of Array', () => new (class List extends Array<string> {})('a', 'b')),
  hostile(
    'a list that says it is long',
    () => new Proxy([], { get: (list, key) => (key === 'length' ? 2 ** 32 : Reflect.get(list, key)) }),
  ),
]

const proxies: readonly Hostile[] = [
  hostile('a Proxy that passes all through', () => new Proxy({ a: 1 }, {})),
  hostile('a revoked Proxy', revoked),
  {
    name: 'a Proxy with another value each time',
    changing: true,
    make: () => {
      let n = 0
      return new Proxy({ a: 1 }, { get: () => ++n })
    },
  },
  hostile('a Proxy with keys that are not there', () => {
    const ownKeys = () => ['a', 'ghost']
    return new Proxy({ a: 1 }, { ownKeys })
  }),
  ...(['get', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor', 'has'] as const).map(trap),
]

/** Everything, for every parameter. */
export const hostiles: readonly Hostile[] = [
  ...[...primitives, ...texts, ...functions, ...classes, ...instances],
  ...[...objects, ...arrays, ...proxies],
]

/** Texts that are not ids, some of them nearly. */
export function malformedIds(id: string): Hostile[] {
  const [kind = '', rest = ''] = id.split('_')
  const texts = [
    ...[' ', '_', 'null', 'undefined', '0', '*', '{0}', `${kind}_`, rest, `_${rest}`, `${kind}-${rest}`],
    ...[
      `xyz_${rest}`,
      `${kind}_${rest}0`,
      `${kind}_${rest.slice(1)}`,
      `${kind}_${rest}\n`,
      ` ${id}`,
      `${id} `,
    ],
    ...[`${id}\u0000`, `${id}:x`, `${id}{x}`, `${id}*`, `${id}?`, `${id}[a]`, `${id}\\`, id.toUpperCase()],
    ...[
      `${kind}_${'i'.repeat(rest.length)}`,
      `${kind}_${'é'.repeat(rest.length)}`,
      `${kind}_${'\uff10'.repeat(rest.length)}`,
    ],
    ...[
      `${kind}_${'*'.repeat(rest.length)}`,
      `${id}${id}`,
      '../../../etc/passwd',
      '__proto__',
      'constructor',
    ],
  ]
  return texts.map((text) => hostile(`the malformed id ${JSON.stringify(text.slice(0, 40))}`, () => text))
}
