// Random programs over every store, each run on memory, on a Redis server and on a Cluster: the answers are equal, call by
// call. 5,000 programs in CI; FLOWKEEP_SEED plays one run again.
import { afterAll, describe, expect, it } from 'vitest'
import { MemoryStorage, RedisAdapter } from './support/flowkeep.js'
import { programs, type Store } from './support/programs.js'
import type { Answer } from './support/random.js'
import { redisUrl, uniquePrefix } from './support/redis.js'

const seed = Number(process.env.FLOWKEEP_SEED ?? Math.floor(Math.random() * 2 ** 31))
const PROGRAMS = process.env.CI ? 5_000 : 500
/** Programs that run at the same time; each has names of its own. */
const LANES = 25

const clusterUrl = process.env.FLOWKEEP_TEST_CLUSTER_URL
if (!clusterUrl)
  throw new Error('FLOWKEEP_TEST_CLUSTER_URL is not set: run `npm test`, which starts a Cluster')

const prefix = uniquePrefix()
const storages = {
  memory: new MemoryStorage(),
  redis: new RedisAdapter(redisUrl(), { prefix, timeoutMs: 20_000 }),
  cluster: new RedisAdapter(clusterUrl, { prefix, timeoutMs: 20_000 }),
}

afterAll(() => Promise.all(Object.values(storages).map((storage) => storage.close())))

describe(`random programs, seed ${seed}`, () => {
  const stores = Object.keys(programs) as Store[]
  const each = Math.ceil(PROGRAMS / stores.length)

  it.each(stores)('%s: every backend answers alike', { timeout: 300_000 }, async (store) => {
    let next = 0
    let failed = 0
    const lane = async () => {
      while (next < each) {
        const number = next++
        const play = programs[store](seed + number, `${store}-${number}`)
        const runs = Object.values(storages).map(async (storage) => {
          const answers: Answer[] = []
          for (const step of play(storage)) answers.push(await step())
          return answers
        })
        const [memory, redis, cluster] = await Promise.all(runs)
        const shown = `seed ${seed}, program ${number} of ${store}`
        expect(redis, `${shown}: Redis`).toEqual(memory)
        expect(cluster, `${shown}: Cluster`).toEqual(memory)
        failed += memory?.filter((answer) => 'error' in answer).length ?? 0
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    // Programs that never meet a refusal would show little.
    expect(failed).toBeGreaterThan(0)
  })
})
