import type { IStorage } from './flowkeep.js'
import {
  absent,
  clearable,
  json,
  jsonObject,
  type Legal,
  list,
  never,
  oneOf,
  optional,
  positiveNumber,
  text,
  wholeNumber,
} from './legal.js'
import { everyMethod, type Ids, plainMethods } from './methods.js'

/** The methods of a storage, open to every argument. */
type Loose = Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>

/** One parameter, or a part of one, and how a value gets there. */
export interface Parameter {
  name: string
  /** Where an issue with it has to point. */
  path: readonly (string | number)[]
  legal: Legal
  /** Which id it takes; malformed ones are tried as well. */
  id?: keyof Ids
  /** Whether functions are called and promises awaited, so that what they throw is the caller's own affair. */
  calls?: boolean
  call(storage: IStorage, ids: Ids, value: unknown): Promise<unknown>
  /** What of the answer has to be the value again. */
  read?(answer: unknown): unknown
}

const loose = (storage: IStorage): Loose => storage as unknown as Loose

function invoke(storage: IStorage, method: string, ...args: unknown[]): Promise<unknown> {
  const own = loose(storage)[method]
  if (own === undefined) throw new Error(`no method ${method}`)
  return own.apply(storage, args)
}

const own = (answer: unknown, name: string) => (answer as Readonly<Record<string, unknown>>)[name]

const userText = text(1, 128)
const chainSource = oneOf('flow', 'composed', 'meta-task')
const chainStatus = oneOf('pending', 'in_progress', 'completed', 'failed', 'cancelled')
const stepStatus = oneOf('pending', 'in_progress', 'completed', 'failed', 'skipped')
const tags = list(text(1, 64))

/** The fields of what `createX` and `updateX` take, with what they may hold. */
type Fields = Readonly<Record<string, Legal>>

interface Shape {
  method: string
  id: keyof Ids
  base: Readonly<Record<string, unknown>>
  fields: Fields
}

const unchanged = (...names: string[]): Fields => Object.fromEntries(names.map((name) => [name, absent]))

const shapes: readonly Shape[] = [
  {
    method: 'createSession',
    id: 'userId',
    base: {},
    fields: { title: optional(text(1, 500)), tags: optional(tags), metadata: optional(jsonObject) },
  },
  {
    method: 'updateSession',
    id: 'sessionId',
    base: {},
    fields: {
      title: clearable(text(1, 500)),
      tags: optional(tags),
      metadata: optional(jsonObject),
      state: optional(oneOf('active', 'paused', 'completed')),
      ...unchanged('sessionId', 'userId', 'createdAt', 'updatedAt', 'expiresAt', 'version'),
    },
  },
  {
    method: 'createChain',
    id: 'sessionId',
    base: { title: 'a chain' },
    fields: {
      title: text(1, 500),
      source: optional(chainSource),
      summary: optional(text(0, 2000)),
      metadata: optional(jsonObject),
    },
  },
  {
    method: 'updateChain',
    id: 'chainId',
    base: {},
    fields: {
      title: optional(text(1, 500)),
      source: clearable(chainSource),
      summary: clearable(text(0, 2000)),
      metadata: optional(jsonObject),
      status: optional(chainStatus),
      ...unchanged(
        'chainId',
        'sessionId',
        'stepOrder',
        'stepCounts',
        'startedAt',
        'completedAt',
        'archivedAt',
      ),
      ...unchanged('createdAt', 'updatedAt', 'version'),
    },
  },
  {
    method: 'createStep',
    id: 'chainId',
    base: { action: 'a step' },
    fields: {
      action: text(1, 500),
      model: optional(text(1, 128)),
      inputs: optional(jsonObject),
      waitsFor: optional(list(never)),
    },
  },
  {
    method: 'updateStep',
    id: 'stepId',
    base: {},
    fields: {
      action: optional(text(1, 500)),
      model: clearable(text(1, 128)),
      inputs: optional(jsonObject),
      waitsFor: optional(list(never)),
      status: optional(stepStatus),
      result: optional(json),
      error: clearable(text(0, 2000)),
      ...unchanged('stepId', 'chainId', 'sessionId', 'stepNumber', 'attempt', 'startedAt', 'completedAt'),
      ...unchanged('createdAt', 'updatedAt', 'version'),
    },
  },
  {
    method: 'appendEvent',
    id: 'sessionId',
    base: { type: 'custom:own' },
    fields: {
      type: (value) => typeof value === 'string' && value.startsWith('custom:') && text(8, 71)(value),
      data: optional(jsonObject),
    },
  },
]

/** Each field of what is given, and the whole of it. */
const given = shapes.flatMap(({ method, id, base, fields }): Parameter[] => [
  {
    name: `${method}: all that is given`,
    path: [],
    legal: never,
    calls: method.startsWith('update'),
    call: (storage, ids, value) => invoke(storage, method, ids[id], value),
  },
  ...Object.entries(fields).map(([field, legal]) => ({
    name: `${method}: ${field}`,
    path: [field],
    legal,
    call: (storage: IStorage, ids: Ids, value: unknown) =>
      invoke(storage, method, ids[id], { ...base, [field]: value }),
    read: (answer: unknown) => own(answer, field),
  })),
])

/** Inside the JSON and the lists of what is given. */
const inside = shapes.flatMap(({ method, id, base, fields }): Parameter[] => {
  const parts: Parameter[] = []
  for (const field of ['metadata', 'inputs', 'result', 'data']) {
    if (!(field in fields)) continue
    parts.push({
      name: `${method}: inside ${field}`,
      path: [field],
      legal: (value) => json({ x: [value] }),
      call: (storage, ids, value) => invoke(storage, method, ids[id], { ...base, [field]: { x: [value] } }),
      read: (answer) => (own(answer, field) as { x: unknown[] }).x[0],
    })
  }
  for (const [field, item] of [
    ['tags', text(1, 64)],
    ['waitsFor', never],
  ] as const) {
    if (!(field in fields)) continue
    parts.push({
      name: `${method}: inside ${field}`,
      path: [field, 0],
      legal: item,
      call: (storage, ids, value) => invoke(storage, method, ids[id], { ...base, [field]: [value] }),
      read: (answer) => (own(answer, field) as unknown[])[0],
    })
  }
  return parts
})

/** What is awaited is the caller's own affair: it ends by its own error, or by the deadline. */
const comesLater: Legal = (value) => {
  try {
    return typeof (value as { then?: unknown } | undefined)?.then === 'function'
  } catch {
    return true
  }
}

/** What a function of the present record gives back. */
const returned = shapes
  .filter(({ method }) => method.startsWith('update'))
  .map(
    ({ method, id }): Parameter => ({
      name: `${method}: what the function returns`,
      path: [],
      legal: comesLater,
      calls: true,
      call: (storage, ids, value) => invoke(storage, method, ids[id], () => value),
    }),
  )

const idOfMethod: Readonly<Record<string, keyof Ids>> = {
  ...{ createSession: 'userId', listSessions: 'userId', eraseUser: 'userId', sessionCounts: 'userId' },
  ...{
    getSession: 'sessionId',
    updateSession: 'sessionId',
    touchSession: 'sessionId',
    deleteSession: 'sessionId',
  },
  ...{ createChain: 'sessionId', listChains: 'sessionId', appendEvent: 'sessionId' },
  replay: 'sessionId',
  ...{
    getChain: 'chainId',
    updateChain: 'chainId',
    deleteChain: 'chainId',
    createStep: 'chainId',
    listSteps: 'chainId',
  },
  ...{ getStep: 'stepId', updateStep: 'stepId', deleteStep: 'stepId' },
}

/** The id that each method begins with. */
const ids = everyMethod
  .filter(({ name }) => name in idOfMethod)
  .map(({ name, call }): Parameter => {
    const id = idOfMethod[name] ?? 'userId'
    return {
      name: `${name}: ${id}`,
      path: [id],
      legal: id === 'userId' ? userText : never,
      id,
      call: (storage, known, value) => call(storage, { ...known, [id]: value }),
      ...(name === 'createSession' ? { read: (answer: unknown) => own(answer, 'userId') } : {}),
    }
  })

/** Nothing but an object may stand for the options; what is in a stranger one is not looked at. */
const anyObject: Legal = (value) =>
  value === undefined ||
  (typeof value === 'object' && value !== null && !Array.isArray(value)) ||
  typeof value === 'function'

/** The options of every method, and each of them. */
const options = [...everyMethod, ...plainMethods].flatMap(({ name, call }): Parameter[] => {
  const special: Record<string, Legal> = { timeoutMs: optional(positiveNumber), signal: absent }
  if (name.startsWith('create')) special.idempotencyKey = optional(text(1, 128))
  if (name === 'createChain') special.rollup = optional(oneOf(true, false))
  if (name.startsWith('update')) special.ifVersion = optional(wholeNumber)
  if (name.startsWith('list'))
    Object.assign(special, { limit: optional(wholeNumber), order: optional(oneOf('asc', 'desc')) })
  if (name === 'sweep') special.partitions = optional(wholeNumber)
  const give = (storage: IStorage, known: Ids, value: unknown) => call(storage, known, value as object)
  return [
    { name: `${name}: options`, path: ['options'], legal: anyObject, call: give },
    ...Object.entries(special).map(([option, legal]) => ({
      name: `${name}: option ${option}`,
      path: ['options', option],
      legal,
      call: (storage: IStorage, known: Ids, value: unknown) => give(storage, known, { [option]: value }),
    })),
  ]
})

const queryFields: Fields = {
  sessionId: absent,
  userId: optional(userText),
  after: optional((value) => value instanceof Date && !Number.isNaN(value.getTime())),
  before: optional((value) => value instanceof Date && !Number.isNaN(value.getTime())),
  types: optional((value) => Array.isArray(value) && value.length === 0),
  limit: optional(wholeNumber),
  cursor: absent,
}

/** What `events` is asked. */
const query: readonly Parameter[] = [
  {
    name: 'events: query',
    path: [],
    legal: never,
    call: (storage, _, value) => invoke(storage, 'events', value),
  },
  ...Object.entries(queryFields).map(([field, legal]) => ({
    name: `events: ${field}`,
    path: [field],
    legal,
    call: (storage: IStorage, known: Ids, value: unknown) => {
      const whose = field === 'sessionId' || field === 'userId' ? {} : { sessionId: known.sessionId }
      return invoke(storage, 'events', { ...whose, [field]: value })
    },
  })),
  {
    name: 'events: inside types',
    path: ['types', 0],
    legal: never,
    call: (storage, known, value) => invoke(storage, 'events', { userId: known.userId, types: [value] }),
  },
]

const date: Legal = (value) => value instanceof Date && !Number.isNaN(value.getTime())

/** What the fields of a query of records may hold. */
const recordQueries: readonly Parameter[] = (
  [
    ['querySessions', 'userId', { state: oneOf('active', 'paused', 'completed'), tag: text(1, 64) }],
    ['queryChains', 'sessionId', { status: chainStatus }],
    ['querySteps', 'chainId', { status: stepStatus }],
  ] as const
).flatMap(([method, parent, own]) => {
  const fields: Fields = {
    ...Object.fromEntries(Object.entries(own).map(([name, legal]) => [name, optional(legal)])),
    createdAfter: optional(date),
    createdBefore: optional(date),
    order: optional(oneOf('asc', 'desc')),
    limit: optional(wholeNumber),
    cursor: absent,
    fields: optional(list(never)),
  }
  return [
    {
      name: `${method}: query`,
      path: [],
      legal: never,
      call: (storage: IStorage, _: Ids, value: unknown) => invoke(storage, method, value),
    },
    {
      name: `${method}: parent`,
      path: ['parent'],
      legal: parent === 'userId' ? userText : never,
      call: (storage: IStorage, _: Ids, value: unknown) => invoke(storage, method, { parent: value }),
    },
    ...Object.entries(fields).map(([field, legal]) => ({
      name: `${method}: ${field}`,
      path: [field],
      legal,
      call: (storage: IStorage, ids: Ids, value: unknown) =>
        invoke(storage, method, { parent: ids[parent], [field]: value }),
    })),
  ]
})

export const parameters: readonly Parameter[] = [
  ...ids,
  ...given,
  ...inside,
  ...returned,
  ...options,
  ...query,
  ...recordQueries,
]
