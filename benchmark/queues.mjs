// Queues, caches and streams against their peers: each in a process of its own, in turn, in one run.
//   BENCH_REDIS_URL=redis://... node benchmark/queues.mjs [queue] [cache] [streams]      that server must be empty
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { machine } from './lib/machine.mjs'
import { Server } from './lib/server.mjs'
import { median, spread } from './lib/stats.mjs'
import { KINDS } from './plain/contenders.mjs'

const IN_FLIGHT = [1, 16, 100]
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5)
/** Items of one sample, by how many are in flight. */
const ITEMS = new Map([
  [1, 400],
  [16, 3_000],
  [100, 6_000],
])
const VERBS = {
  queue: ['added', 'processed'],
  cache: ['set', 'got'],
  streams: ['added', 'read and acknowledged'],
}

const url = process.env.BENCH_REDIS_URL
if (!url) throw new Error('BENCH_REDIS_URL names no server')
const server = await Server.open(url)
const wanted = process.argv.slice(2)
const kinds = Object.keys(KINDS).filter((kind) => wanted.length === 0 || wanted.includes(kind))

/** @param {string} kind @param {string} name */
async function start(kind, name) {
  const script = new URL('plain/worker.mjs', import.meta.url)
  const child = fork(script, [kind, name, url ?? ''], { execArgv: ['--expose-gc'] })
  child.once('exit', (code) => {
    if (code) throw new Error(`${name} ended with ${code}`)
  })
  await once(child, 'message')
  return {
    name,
    async play(/** @type {{ count: number, inFlight: number }} */ extent) {
      child.send(extent)
      const [took] = await once(child, 'message')
      return /** @type {{ put: number, take: number }} */ (took)
    },
    async end() {
      child.send('end')
      await once(child, 'exit')
    },
  }
}

const { cpu, cores, node, redis, peers, load, date } = machine(await server.version())
console.log(
  `Date ${date}. ${cpu}, ${cores} cores, load ${load} at the start. Node ${node}, redis-server ${redis}.`,
)
console.log(
  `Peers: ${Object.entries(peers)
    .map((peer) => peer.join(' '))
    .join(', ')}. Medians of ${ROUNDS} rounds.`,
)

for (const kind of kinds) {
  const [put, take] = VERBS[/** @type {keyof typeof VERBS} */ (kind)]
  console.log(
    `\n| ${kind} | in flight | ${put} per second | ${take} per second | both per second | to the best peer |`,
  )
  console.log('| --- | ---: | ---: | ---: | ---: | ---: |')
  const names = Object.keys(KINDS[kind] ?? {})
  const members = await Promise.all(names.map((name) => start(kind, name)))
  for (const inFlight of IN_FLIGHT) {
    const count = ITEMS.get(inFlight) ?? 1_000
    /** @type {Map<string, { put: number[], take: number[], both: number[] }>} */
    const rates = new Map(names.map((name) => [name, { put: [], take: [], both: [] }]))
    for (let round = -1; round < ROUNDS; round++) {
      for (const member of members) {
        const took = await member.play({ count, inFlight })
        const rate = rates.get(member.name)
        // The first round warms up.
        if (round < 0 || !rate) continue
        rate.put.push((count / took.put) * 1_000)
        rate.take.push((count / took.take) * 1_000)
        rate.both.push((count / (took.put + took.take)) * 1_000)
      }
    }
    const both = (/** @type {string} */ name) => median(rates.get(name)?.both ?? [])
    const best = Math.max(...names.filter((name) => !name.startsWith('flowkeep')).map(both))
    for (const [name, rate] of rates) {
      const figures = [rate.put, rate.take, rate.both].map(
        (all) => `${Math.round(median(all)).toLocaleString('en')} ±${Math.round(spread(all) * 100)} %`,
      )
      const ratio = name.startsWith('flowkeep') ? `${(both(name) / best).toFixed(2)} x` : ''
      console.log(`| ${name} | ${inFlight} | ${figures.join(' | ')} | ${ratio} |`)
    }
  }
  await Promise.all(members.map((member) => member.end()))
}
await server.empty()
await server.close()
