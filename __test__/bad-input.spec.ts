import { isDeepStrictEqual } from 'node:util'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Fixture } from './behavior/fixture.js'
import {
  type IStorage,
  MemoryStorage,
  RedisAdapter,
  StorageError,
  ValidationError,
} from './support/flowkeep.js'
import { type Hostile, hostiles, malformedIds } from './support/hostile.js'
import { isLegal, ordinary } from './support/legal.js'
import type { Ids } from './support/methods.js'
import { type Parameter, parameters } from './support/parameters.js'
import { census, rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 30_000 })

// A database of its own: the census of keys before and after each call then looks at its own keys only.
const url = new URL('/5', redisUrl()).href
const prefix = uniquePrefix()
const unhandled: unknown[] = []
const note = (reason: unknown) => unhandled.push(reason)
let client: Redis
let backends: readonly IStorage[]
let cases = 0

beforeAll(() => {
  process.on('unhandledRejection', note)
  client = rawClient(url)
  backends = [new MemoryStorage(), new RedisAdapter(url, { prefix })]
})

afterAll(async () => {
  await Promise.all(backends.map((storage) => storage.close()))
  process.off('unhandledRejection', note)
  await sweep(client, prefix)
  client.disconnect()
})

/** What came of one call. A foreign error is none of ours. */
type Outcome =
  | { kind: 'foreign'; print: string }
  | { kind: 'error'; error: StorageError; print: unknown }
  | { kind: 'value'; value: unknown; print: unknown }

/** A session with a chain and a step on one backend, for one parameter. */
class Place {
  private seen = ''

  private constructor(
    readonly storage: IStorage,
    readonly ids: Ids,
  ) {}

  static async make(storage: IStorage): Promise<Place> {
    const fixture = new Fixture(storage)
    const session = await fixture.session({ title: 'before' })
    const { chainId } = await storage.createChain(session.sessionId, { title: 'before' })
    const { stepId } = await storage.createStep(chainId, { action: 'before' })
    const place = new Place(storage, {
      userId: session.userId,
      sessionId: session.sessionId,
      chainId,
      stepId,
    })
    await place.look()
    return place
  }

  /** Everything that is stored for the user, and the names of all keys. */
  private async everything(): Promise<string> {
    const { userId } = this.ids
    const sessions = await this.storage.listSessions(userId)
    const chains = await Promise.all(sessions.map((session) => this.storage.listChains(session.sessionId)))
    const steps = await Promise.all(chains.flat().map((chain) => this.storage.listSteps(chain.chainId)))
    const feed = await this.storage.events({ userId, limit: 1000 })
    const keys = this.storage instanceof RedisAdapter ? await census(client, prefix) : []
    return JSON.stringify([sessions, chains, steps, feed.items, keys])
  }

  async look(): Promise<void> {
    this.seen = await this.everything()
  }

  async isUntouched(): Promise<boolean> {
    return this.seen === (await this.everything())
  }
}

/** Makes the call, and insists on a promise that settles with an answer or with an error of ours. */
async function outcome(place: Place, parameter: Parameter, value: unknown): Promise<Outcome | string> {
  let promise: Promise<unknown>
  try {
    promise = parameter.call(place.storage, place.ids, value)
  } catch (error) {
    return `threw at once: ${String(error).slice(0, 200)}`
  }
  if (!(promise instanceof Promise)) return 'gave no promise'
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, 5000, 'never settled')
  })
  const settled = promise.then(
    (answer): Outcome => {
      const got = parameter.read?.(answer)
      return { kind: 'value', value: got, print: { value: value === undefined ? 'as it was' : got } }
    },
    (error: unknown): Outcome =>
      error instanceof StorageError
        ? refused(error)
        : { kind: 'foreign', print: `rejected with ${String(error).slice(0, 200)}` },
  )
  try {
    return await Promise.race([settled, late])
  } finally {
    clearTimeout(timer)
  }
}

function refused(error: StorageError): Outcome {
  const issues =
    error instanceof ValidationError ? error.issues.map(({ code, path }) => ({ code, path })) : []
  return { kind: 'error', error, print: { name: error.constructor.name, code: error.code, issues } }
}

/** What is wrong with an outcome, if anything. */
function verdict(
  parameter: Parameter,
  hostile: Hostile,
  value: unknown,
  result: Outcome,
): string | undefined {
  const legal = isLegal(parameter.legal, value)
  if (result.kind === 'value') {
    if (!legal) return 'was accepted'
    const exact = parameter.read === undefined || hostile.changing || comesBack(value, result.value)
    return exact ? undefined : 'came back as another value'
  }
  if (result.kind === 'foreign') return legal && parameter.calls ? undefined : result.print
  const { error } = result
  if (hostile.text !== undefined && shows(error, hostile.text)) return 'is shown at length in a message'
  if (legal) return undefined
  if (!(error instanceof ValidationError))
    return `is a ${error.name} ${error.code}: ${error.message.slice(0, 100)}`
  const at = error.issues.map((issue) => issue.path.slice(0, parameter.path.length))
  if (error.issues.length === 0) return 'has no issue'
  if (!at.some((path) => isDeepStrictEqual(path, parameter.path)))
    return `points to ${JSON.stringify(at.slice(0, 3))}`
  return error.issues.every(({ code, message }) => /^[a-z_]+$/.test(code) && message.length > 0)
    ? undefined
    : 'has an issue without a code or message'
}

/** Not given, cleared, or the very same value. */
function comesBack(given: unknown, got: unknown): boolean {
  if (given === undefined) return true
  if (given === null && got === undefined) return true
  return isDeepStrictEqual(ordinary(given), got)
}

function shows(error: StorageError, text: string): boolean {
  const messages = error instanceof ValidationError ? error.issues.map((issue) => issue.message) : []
  const part = text.slice(0, 101)
  return [error.message, error.stack ?? '', ...messages].some((message) => message.includes(part))
}

/** A deadline of a millisecond or two may be too short where there is a server to ask: that is no verdict on it. */
function isLate(parameter: Parameter, value: unknown, result: Outcome): boolean {
  return (
    result.kind === 'error' &&
    result.error.code === 'STORAGE_TIMEOUT' &&
    parameter.path.at(-1) === 'timeoutMs' &&
    isLegal(parameter.legal, value)
  )
}

/** One value for one parameter, on both backends. Gives a sentence for each thing that is wrong. */
async function tryOut(places: readonly Place[], parameter: Parameter, hostile: Hostile): Promise<string[]> {
  cases++
  const wrong: string[] = []
  const prints: unknown[] = []
  for (const [i, place] of places.entries()) {
    const value = hostile.make()
    const result = await outcome(place, parameter, value)
    const complaint = typeof result === 'string' ? result : verdict(parameter, hostile, value, result)
    const where = `${i === 0 ? 'memory' : 'redis'}: ${hostile.name}`
    if (complaint !== undefined) wrong.push(`${where} ${complaint}`)
    if (typeof result !== 'string' && isLate(parameter, value, result)) await place.look()
    else if (typeof result !== 'string') prints.push(result.print)
    if (typeof result !== 'string' && result.kind === 'value') await place.look()
    else if (!(await place.isUntouched())) {
      wrong.push(`${where} was refused and left something behind`)
      await place.look()
    }
  }
  if (prints.length === 2 && !isDeepStrictEqual(prints[0], prints[1])) {
    wrong.push(
      `${hostile.name}: ${JSON.stringify(prints[0])?.slice(0, 200)} on memory, ${JSON.stringify(prints[1])?.slice(0, 200)} on redis`,
    )
  }
  return wrong
}

describe('bad input', () => {
  it.each(parameters)('$name', async (parameter) => {
    const places = await Promise.all(backends.map((storage) => Place.make(storage)))
    const [first] = places
    const malformed =
      parameter.id !== undefined && parameter.id !== 'userId'
        ? malformedIds(first?.ids[parameter.id] ?? '')
        : []
    const values = hostiles.filter(({ name }) => !(parameter.calls && name === 'a class'))
    const wrong: string[] = []
    for (const hostile of [...values, ...malformed]) wrong.push(...(await tryOut(places, parameter, hostile)))
    expect(wrong).toEqual([])
  })

  it('is tried in more than 600 cases', () => {
    expect(cases).toBeGreaterThanOrEqual(600)
  })

  it('leaves no rejection unhandled, and the storages work', async () => {
    await new Promise(setImmediate)
    expect(unhandled).toEqual([])
    expect(({} as Record<string, unknown>).admin).toBeUndefined()
    for (const storage of backends) {
      expect(await storage.createSession('after all', { title: 'fine' })).toMatchObject({ title: 'fine' })
    }
  })
})
