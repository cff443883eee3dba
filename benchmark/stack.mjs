/**
 * What the resilient stack costs a call while all is well: the same adapter with it and without, in turn.
 *   node benchmark/stack.mjs redis://localhost:7000     on a redis-server of its own
 * µs of the JS thread's processor time for each call; the difference is the median of the rounds' differences, since the
 * machine's speed moves between rounds.
 */
import { createRequire } from 'node:module'
import { around, input, readVersion, titles } from './lib/fixture.mjs'
import { many } from './lib/lanes.mjs'
import { machine } from './lib/machine.mjs'
import { sample } from './lib/meter.mjs'
import { median } from './lib/stats.mjs'

const { RedisAdapter, ResilientStorage } = createRequire(import.meta.url)('../dist/index.js')

const [url] = process.argv.slice(2)
if (!url) throw new Error('which server? node benchmark/stack.mjs redis://localhost:7000')

const ROUNDS = 41
const SESSIONS = 1_000
const IN_FLIGHT = 100
const GETS = 40_000
const UPDATES = 5_000

/** @param {string} name @param {(adapter: object) => import('./contenders/model.mjs').Store} wrap */
async function opened(name, wrap) {
  const store = wrap(new RedisAdapter(url, { prefix: `stack-${process.pid}-${name}:` }))
  /** @type {string[]} */
  const ids = []
  await many(
    SESSIONS,
    async (i) => {
      ids[i] = (await store.createSession(`user-${i % 100}`, input(i))).sessionId
    },
    IN_FLIGHT,
  )
  const title = titles('the owner')
  return {
    store,
    /** @type {import('./lib/scenarios.mjs').Operation} */
    get: (i) => store.getSession(around(ids, i)),
    /** @type {import('./lib/scenarios.mjs').Operation} */
    update: (i) => store.updateSession(around(ids, i), { title: title() }),
  }
}

const bare = await opened('bare', (adapter) => /** @type {never} */ (adapter))
const resilient = await opened('within', (adapter) => new ResilientStorage(adapter))

console.log(`${JSON.stringify(await machine())}\n`)
console.log('| µs of JS CPU a call | bare | in the stack | difference |')
console.log('| --- | --: | --: | --: |')
for (const [name, count] of /** @type {['get' | 'update', number][]} */ ([
  ['get', GETS],
  ['update', UPDATES],
])) {
  /** @type {[number, number][]} */
  const rounds = []
  for (let round = 0; round <= ROUNDS; round++) {
    const cost = async (/** @type {typeof bare} */ one) =>
      (await sample(one[name], readVersion, { first: round * count, count, inFlight: IN_FLIGHT })).jsCpu
    // Who begins changes from round to round.
    const pair = round % 2 === 0 ? [bare, resilient] : [resilient, bare]
    const [first = 0, second = 0] = [
      await cost(/** @type {typeof bare} */ (pair[0])),
      await cost(/** @type {typeof bare} */ (pair[1])),
    ]
    rounds.push(round % 2 === 0 ? [first, second] : [second, first])
  }
  // The first one warms up.
  const counted = rounds.slice(1)
  const cells = [
    median(counted.map(([without]) => without)),
    median(counted.map(([, within]) => within)),
    median(counted.map(([without, within]) => within - without)),
  ]
  console.log(`| ${name} | ${cells.map((cell) => cell.toFixed(2)).join(' | ')} |`)
}
await bare.store.close()
await resilient.store.close()
