// `npm run bench`: builds as for a release, starts a Redis of its own, and runs benchmark/run.mjs against it.
// Arguments go there: npm run bench -- --quick memory
// `npm run bench:breakers` runs benchmark/breakers.mjs instead, `npm run bench:queues` benchmark/queues.mjs.
import { join } from 'node:path'
import { installPackages, prepare } from './prepare.mjs'
import { startRedis } from './servers.mjs'
import { root, run, runMain } from './system.mjs'

await runMain(async () => {
  await prepare({ profile: 'release' })
  // The peers are installed apart: nobody but the benchmark needs them.
  await installPackages(join(root, 'benchmark'))
  const redis = await startRedis()
  const env = { ...process.env, BENCH_REDIS_URL: redis.url }
  const [first, ...rest] = process.argv.slice(2)
  const other = /^--(breakers|queues)$/.exec(first ?? '')
  const [file, args] = other ? [`${other[1]}.mjs`, rest] : ['run.mjs', process.argv.slice(2)]
  const code = await run(process.execPath, [join(root, 'benchmark', file), ...args], { env })
  await redis.stop()
  return code
})
