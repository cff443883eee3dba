import { parseArgs } from 'node:util'

/**
 * @typedef {object} Options
 * @property {RegExp[]} scenarios any of them may match
 * @property {RegExp} only contenders
 * @property {string | null} url of an empty redis-server
 * @property {number[]} inFlight
 * @property {number} rounds that count
 * @property {number} seconds of one sample
 * @property {boolean} heavy
 * @property {boolean} markdown
 * @property {string | null} json path
 * @property {string[]} nodeArguments for the contenders' processes
 */

export const HELP = `node benchmark/run.mjs [scenario ...] [options]

scenario             part of a name or a regular expression, e.g. memory 'redis.get' ceiling footprint; all by default
--url <redis://...>  an EMPTY redis-server of the run's own: it is emptied again and again. BENCH_REDIS_URL works too
--only <regex>       contenders, e.g. 'flowkeep|ioredis'
--in-flight <list>   calls in flight on Redis, default 1,16,100,1000
--rounds <n>         rounds that count, default 5
--seconds <n>        length of one sample, default 0.25
--quick              1,16,100 in flight, 3 rounds of 0.06 s: to look, not to publish
--heavy              footprint with 200,000 sessions instead of 20,000
--json <path>        every round as JSON
--markdown           prints a section for RESULTS.md instead of plain tables
--node-arg <flag>    for the contenders' processes, e.g. --node-arg=--cpu-prof; repeatable`

/** @param {string[]} args @returns {Options | null} null: help was asked for */
export function readOptions(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      url: { type: 'string' },
      only: { type: 'string', default: '' },
      'in-flight': { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      heavy: { type: 'boolean', default: false },
      json: { type: 'string' },
      markdown: { type: 'boolean', default: false },
      'node-arg': { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return null
  const { quick } = values
  return {
    scenarios: positionals.map((text) => new RegExp(text)),
    only: new RegExp(values.only),
    url: values.url ?? process.env.BENCH_REDIS_URL ?? null,
    inFlight: (values['in-flight'] ?? (quick ? '1,16,100' : '1,16,100,1000')).split(',').map(Number),
    rounds: Number(values.rounds ?? (quick ? 3 : 5)),
    seconds: Number(values.seconds ?? (quick ? 0.06 : 0.25)),
    heavy: values.heavy,
    markdown: values.markdown,
    json: values.json ?? null,
    nodeArguments: values['node-arg'],
  }
}
