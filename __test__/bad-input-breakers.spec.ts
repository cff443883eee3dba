// Every parameter of the breakers with every hostile value, in memory, on Redis and in a database.
import { isDeepStrictEqual } from 'node:util'
import { afterAll, expect, it, vi } from 'vitest'
import { type BreakerParameter, breakerParameters, tableParameters } from './support/breaker-parameters.js'
import { sqlite } from './support/databases.js'
import { type Breakers, openBreakers, ValidationError } from './support/flowkeep.js'
import { type Hostile, hostiles } from './support/hostile.js'
import { isLegal } from './support/legal.js'
import { rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'

vi.setConfig({ testTimeout: 120_000 })

const prefix = uniquePrefix()
const database = sqlite()
const opened = openBreakers({
  stores: {
    default: { driver: 'memory' },
    redis: { driver: 'redis', url: redisUrl(), prefix, timeoutMs: 20_000 },
    sql: { driver: 'sql', url: database.url, timeoutMs: 20_000 },
  },
})
const client = rawClient(redisUrl())
const unhandled: unknown[] = []
const note = (reason: unknown) => unhandled.push(reason)
process.on('unhandledRejection', note)
let names = 0

afterAll(async () => {
  process.off('unhandledRejection', note)
  await opened.close()
  await sweep(client, prefix)
  client.disconnect()
  database.dispose()
})

/** It says that it has 2^32 items: then all of what is given is too big, and an issue points to all of it. */
const TOO_BIG = 'a list that says it is long'

/** What is wrong with what came of a value, if anything. */
async function complaint(
  breakers: Breakers,
  parameter: BreakerParameter,
  hostile: Hostile,
): Promise<string | undefined> {
  const value = hostile.make()
  const legal = isLegal(parameter.legal, value)
  const fresh = `bad input ${++names}`
  try {
    await parameter.call(breakers, value, fresh)
    return legal || hostile.changing ? undefined : 'was accepted'
  } catch (error) {
    if (!(error instanceof ValidationError)) return `gave ${String(error).slice(0, 200)}`
    const paths = error.issues.map(({ path }) => path)
    if (hostile.text !== undefined && error.message.includes(hostile.text.slice(0, 101))) return 'is shown'
    if (legal) return `was refused: ${JSON.stringify(error.issues).slice(0, 200)}`
    // An issue with an item of a list points into the list.
    const starts = (path: readonly (string | number)[]) => path.slice(0, parameter.path.length)
    const points =
      hostile.name === TOO_BIG || paths.some((path) => isDeepStrictEqual(starts(path), parameter.path))
    return points ? undefined : `points to ${JSON.stringify(paths.slice(0, 3))}`
  }
}

async function complaints(store: string, parameter: BreakerParameter): Promise<string[]> {
  const wrong: string[] = []
  for (const hostile of hostiles) {
    const what = await complaint(opened.store(store), parameter, hostile)
    if (what !== undefined) wrong.push(`${store}: ${hostile.name} ${what}`)
  }
  return wrong
}

it.each(breakerParameters)('$name', async (parameter) => {
  for (const store of ['default', 'redis', 'sql']) expect(await complaints(store, parameter)).toEqual([])
})

it.each(tableParameters)('of a database, $name', async (parameter) => {
  expect(await complaints('sql', parameter)).toEqual([])
})

it('leaves no rejection unhandled, and the breakers work', async () => {
  await new Promise(setImmediate)
  expect(unhandled).toEqual([])
  for (const store of ['default', 'redis', 'sql']) {
    const breaker = opened.store(store).get('after all')
    expect(await breaker.call(() => 'up')).toBe('up')
    expect(await breaker.isolate({ reason: 'enough' })).toMatchObject({ state: 'isolated' })
  }
})
