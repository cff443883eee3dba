import type { Breakers } from './flowkeep.js'
import { type Legal, list, oneOf, optional, text } from './legal.js'

/** One thing that breakers take, and how a value gets there. */
export interface BreakerParameter {
  name: string
  /** Where an issue with it has to point. */
  path: readonly (string | number)[]
  legal: Legal
  /** `fresh` is a name that no other call has. */
  call(breakers: Breakers, value: unknown, fresh: string): Promise<unknown>
}

type Loose = Readonly<Record<string, (...args: unknown[]) => unknown>>

const loose = (object: object) => object as unknown as Loose

const number =
  (least: number, most: number): Legal =>
  (value) =>
    typeof value === 'number' && value >= least && value <= most
const whole =
  (least: number, most: number): Legal =>
  (value) =>
    Number.isInteger(value) && number(least, most)(value)

const LONGEST_TIMER_MS = 2_147_483_647
const seconds = number(0, 3_155_760_000)
const count = number(0, 1_000_000_000)
const flag = oneOf(true, false)
const name = text(1, 128)
const strategy = oneOf(
  'consecutive_failures',
  'percentage_failures',
  'rolling_window',
  'slow_calls',
  'custom',
)

/** What a breaker may be told when it is asked for. */
const config: Readonly<Record<string, Legal>> = {
  context: name,
  boundary: name,
  preset: oneOf('fuse', 'connexions'),
  strategy: (value) => strategy(value) || list(strategy)(value) || typeof value === 'function',
  failureThreshold: count,
  successThreshold: count,
  openSeconds: seconds,
  openGrowth: number(1, 1_000),
  maxOpenSeconds: seconds,
  jitter: number(0, 1),
  samplingSeconds: seconds,
  samplingCalls: whole(1, 10_000),
  minimumThroughput: count,
  percentageThreshold: number(0, 100),
  slowCallSeconds: seconds,
  slowCallPercentage: number(0, 100),
  halfOpenProbes: number(0, 1_000),
  probeLeaseSeconds: seconds,
  maxHalfOpenSeconds: seconds,
  metricsOnly: flag,
  scope: oneOf('local', 'shared', 'quorum'),
}

/** Getting one throws at once; here it is a promise as all else. */
const got: readonly BreakerParameter[] = [
  {
    name: 'get: name',
    path: ['name'],
    legal: name,
    call: async (breakers, value) => loose(breakers).get?.(value),
  },
  ...Object.entries(config).map(([field, legal]) => ({
    name: `get: ${field}`,
    path: [field],
    legal: optional(legal),
    call: async (breakers: Breakers, value: unknown, fresh: string) =>
      loose(breakers).get?.(fresh, { [field]: value }),
  })),
  {
    name: 'get: inside strategy',
    path: ['strategy', 0],
    legal: strategy,
    call: async (breakers, value, fresh) => loose(breakers).get?.(fresh, { strategy: [value] }),
  },
]

/** What is said with an order: the same with each of them. */
const order: Readonly<Record<string, Legal>> = {
  reason: text(0, 500),
  actor: text(0, 128),
  forSeconds: seconds,
  timeoutMs: number(1, LONGEST_TIMER_MS),
}

const orders = Object.entries(order).map(
  ([field, legal]): BreakerParameter => ({
    name: `isolate: ${field}`,
    path: [field],
    legal: optional(legal),
    call: async (breakers, value, fresh) => loose(breakers.get(fresh)).isolate?.({ [field]: value }),
  }),
)

const questions = (
  [
    ['history', 'limit', whole(1, Number.MAX_SAFE_INTEGER)],
    ['history', 'timeoutMs', number(Number.MIN_VALUE, LONGEST_TIMER_MS)],
    ['state', 'timeoutMs', number(Number.MIN_VALUE, LONGEST_TIMER_MS)],
    ['metrics', 'timeoutMs', number(Number.MIN_VALUE, LONGEST_TIMER_MS)],
  ] as const
).map(
  ([method, field, legal]): BreakerParameter => ({
    name: `${method}: ${field}`,
    path: ['options', field],
    legal: optional(legal),
    call: async (breakers, value, fresh) => loose(breakers.get(fresh))[method]?.({ [field]: value }),
  }),
)

/** What breakers take. */
export const breakerParameters: readonly BreakerParameter[] = [...got, ...orders, ...questions]

const since: Legal = (value) => value instanceof Date && !Number.isNaN(value.getTime())

/** What the tables of a database are asked. */
export const tableParameters = (
  [
    ['query', 'state', oneOf('closed', 'open', 'half_open', 'isolated', 'disabled')],
    ['query', 'failureCountOver', whole(0, Number.MAX_SAFE_INTEGER)],
    ['query', 'openedSince', since],
    ['query', 'limit', whole(1, 1_000)],
    ['events', 'name', name],
    ['events', 'event', text(1, 50)],
    ['events', 'since', since],
    ['events', 'cursor', text(1, 20)],
    ['countTransitions', 'since', since],
    ['prune', 'olderThanSeconds', seconds],
  ] as const
).map(
  ([method, field, legal]): BreakerParameter => ({
    name: `${method}: ${field}`,
    path: [field],
    legal: optional(legal),
    call: async (breakers, value) => loose(breakers)[method]?.({ [field]: value }),
  }),
)
