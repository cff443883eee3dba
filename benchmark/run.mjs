/** The benchmark: flowkeep and its peers, interleaved in one run. `node benchmark/run.mjs --help` */
import { writeFileSync } from 'node:fs'
import { ceiling } from './lib/ceiling.mjs'
import { footprint } from './lib/footprint.mjs'
import { machine } from './lib/machine.mjs'
import { HELP, readOptions } from './lib/options.mjs'
import { play } from './lib/play.mjs'
import { report } from './lib/report.mjs'
import { SCENARIOS } from './lib/scenarios.mjs'
import { Server } from './lib/server.mjs'

/** @typedef {import('./lib/options.mjs').Options} Options */

/** @param {Options} options @param {string[]} args as they were typed */
async function run(options, args) {
  const wanted = (/** @type {string} */ name) =>
    options.scenarios.length === 0 || options.scenarios.some((pattern) => pattern.test(name))
  const scenarios = SCENARIOS.filter(
    ({ name, backend }) => wanted(name) && (backend === 'memory' || options.url),
  )
  const server = options.url ? await Server.open(options.url) : null
  if (!server) console.error('No --url: only what runs in memory.')
  /** @type {import('./lib/play.mjs').Row[]} */
  const rows = []
  const at = machine((await server?.version()) ?? null)
  try {
    for (const scenario of scenarios) {
      await play(scenario, scenario.backend === 'redis' ? server : null, options, (row) => {
        rows.push(row)
        console.error(`${row.label}, ${row.inFlight} in flight: done`)
      })
    }
    return {
      machine: at,
      command: ['npm run bench', ...(args.length > 0 ? ['--'] : []), ...args].join(' '),
      sampling: { rounds: options.rounds, seconds: options.seconds },
      rows,
      ceiling: server && wanted('ceiling') ? await ceiling(server) : [],
      footprint: wanted('footprint') ? await footprint(server, options) : [],
    }
  } finally {
    await server?.empty()
    await server?.close()
  }
}

async function main() {
  const args = process.argv.slice(2)
  const options = readOptions(args)
  if (!options) return console.log(HELP)
  const outcome = await run(options, args)
  console.log(report(outcome, options.markdown))
  if (options.json) writeFileSync(options.json, `${JSON.stringify(outcome, null, 2)}\n`)
}

await main().catch((error) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
