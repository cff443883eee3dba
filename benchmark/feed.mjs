// The live feed: how many events get through, and how long one takes from the write to the iterator.
//   node benchmark/feed.mjs             memory
//   BENCH_REDIS_URL=redis://... node benchmark/feed.mjs   memory and that server, which must be empty
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

const { MemoryStorage, RedisAdapter } = createRequire(import.meta.url)('../dist/index.js')

/** Sessions, each followed by a subscription of its own. */
const SESSIONS = [1, 100, 1000]
/** Events written as fast as they are acknowledged, this many at a time. */
const BURST = 20_000
const IN_FLIGHT = 100
/** A log keeps 10,000 events: the writer does not run further ahead than this. */
const AHEAD = 5000
/** Events written one after the other, so far apart. */
const PACED = 500
const PACE_MS = 4

/** @param {number[]} values @param {number} part */
const quantile = (values, part) =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * part)] ?? NaN

/** @param {string} name @param {any} writer @param {any} reader @param {number} count */
async function measure(name, writer, reader, count) {
  const user = `feed-${count}`
  const sessions = await Promise.all(Array.from({ length: count }, () => writer.createSession(user, {})))
  let seen = 0
  /** @type {number[]} */ let delays = []
  const followers = sessions.map(({ sessionId }) => reader.subscribe({ sessionId, after: 'now' }))
  await Promise.all(followers.map((feed) => feed.ready()))
  // A writer that found nobody listening looks again after 250 ms: until then a new follower hears by looking itself.
  await sleep(300)
  const reading = followers.map(async (feed) => {
    for await (const item of feed) {
      seen += 1
      delays.push(performance.now() - item.data.at)
    }
  })
  const write = (/** @type {number} */ n) =>
    writer.appendEvent(sessions[n % count].sessionId, {
      type: 'custom:bench',
      data: { at: performance.now() },
    })
  const until = async (/** @type {number} */ total) => {
    while (seen < total) await sleep(1)
  }
  for (let n = 0; n < count; n++) await write(n)
  await until(count)
  delays = []
  for (let n = 0; n < PACED; n++) {
    await write(n)
    await sleep(PACE_MS)
  }
  await until(count + PACED)
  const [p50, p99] = [0.5, 0.99].map((part) => quantile(delays, part).toFixed(2))
  const began = performance.now()
  for (let n = 0; n < BURST; n += IN_FLIGHT) {
    await Promise.all(Array.from({ length: IN_FLIGHT }, (_, i) => write(n + i)))
    await new Promise(setImmediate)
    await until(count + PACED + n - AHEAD)
  }
  await until(count + PACED + BURST)
  const rate = Math.round((BURST / (performance.now() - began)) * 1000)
  await Promise.all(followers.map((feed) => feed.return()))
  await Promise.all(reading)
  console.log(
    `| ${name} | ${count} | ${rate.toLocaleString('en')} | ${p50} | ${p99} | ${(await reader.status()).pending} |`,
  )
}

console.log('| storage | sessions followed | events/s | delay p50 ms | delay p99 ms | left behind |')
console.log('| --- | --- | --- | --- | --- | --- |')
const url = process.env.BENCH_REDIS_URL
for (const count of SESSIONS) {
  const memory = new MemoryStorage()
  await measure('memory', memory, memory, count)
  await memory.close()
  if (!url) continue
  const [writer, reader] = [0, 1].map(() => new RedisAdapter(url, { prefix: `feed-${count}:` }))
  await measure('redis', writer, reader, count)
  await Promise.all([writer.close(), reader.close()])
}
