// `npm test`: installs, builds, provides the servers, prints what it used, runs the Rust and the TypeScript tests.
//   npm test                    everything
//   npm test -- <filter> ...    only the TypeScript tests whose file matches
// Nothing is skipped silently: a server that can't be provided stops the run with the reason.
import { join } from 'node:path'
import { ensureNode, otherNodes } from './nodes.mjs'
import { buildAddon, buildTypescript, checkTools, hostTriple, installPackages } from './prepare.mjs'
import { ensureChromium, ensureRedis, redisVersion, startRedis } from './servers.mjs'
import { ensureMariadb, ensurePostgres, startMariadb, startPostgres } from './sql-servers.mjs'
import { capture, root, run, runMain, Stop, versionIn, which } from './system.mjs'
import { startCluster } from './topologies.mjs'
import { ensureValkey } from './valkey.mjs'

// One profile and one target for every cargo command of the run, so that no dependency is compiled twice.
const profile = 'quick'

async function timed(title, work) {
  console.log(`\n== ${title}`)
  const from = performance.now()
  const code = (await work()) ?? 0
  const seconds = ((performance.now() - from) / 1000).toFixed(1)
  phases.push({ phase: title, seconds: Number(seconds), result: code === 0 ? 'ok' : 'FAILED' })
  return code
}

const phases = []

function printVersions(rows) {
  const width = Math.max(...Object.keys(rows).map((name) => name.length))
  for (const [name, text] of Object.entries(rows)) console.log(`  ${name.padEnd(width)}  ${text}`)
}

async function rustTests(env) {
  const scope = ['--workspace', '--all-features']
  const tests = which('cargo-nextest')
    ? await run('cargo', ['nextest', 'run', ...scope, '--cargo-profile', profile, '--no-fail-fast'], { env })
    : await run('cargo', ['test', ...scope, '--all-targets', '--profile', profile, '--no-fail-fast'], { env })
  // Examples in doc comments: nextest does not know them.
  const docs = await run('cargo', ['test', ...scope, '--doc', '--profile', profile, '--quiet'], { env })
  return tests || docs
}

await runMain(async () => {
  const filters = process.argv.slice(2)
  const tools = await checkTools()
  const redisProgram = await ensureRedis()
  const chromium = await ensureChromium()
  await ensurePostgres()
  await ensureMariadb()
  process.env.CARGO_BUILD_TARGET ??= hostTriple()

  await timed('npm packages', () => installPackages())
  await timed('other versions of Node', () => Promise.all(otherNodes.map(ensureNode)).then(() => 0))
  await timed('addon', () => buildAddon({ profile, hooks: true }))
  await timed('typescript', buildTypescript)

  const valkey = await ensureValkey()
  const redis = await startRedis()
  const running = await redisVersion(redis.url)
  if (!running) throw new Stop(`the Redis at ${redis.url} does not answer`)
  const cluster = await startCluster({ replicas: 0 })
  const [postgres, mariadb] = [await startPostgres(), await startMariadb()]
  console.log('\nused:')
  printVersions({
    node: `${tools.node} (${process.execPath})`,
    'node, for the package': otherNodes.join(', '),
    rustc: tools.rustc,
    'cargo-nextest':
      versionIn(capture('cargo-nextest', ['nextest', '--version'])) ?? 'not here: cargo test instead',
    'redis-server': `${running} (${redisProgram.path}) at ${redis.url}, pid ${redis.pid}`,
    'the same, as a Cluster': `${cluster.nodes.length} masters at ${cluster.url}`,
    'the same, by the suites':
      'TLS; Sentinel: 1 master, 2 replicas, 3 sentinels; Cluster: 3 masters, 3 replicas',
    'valkey-server': `${valkey.version} (${valkey.path}), by its suite`,
    PostgreSQL: `${postgres.version} on port ${postgres.port}, pid ${postgres.pid}`,
    MariaDB: `${mariadb.version} on port ${mariadb.port}, pid ${mariadb.pid}`,
    chromium: `${chromium.version} (${chromium.path})`,
  })

  const env = {
    ...process.env,
    FLOWKEEP_TEST_REDIS_URL: redis.url,
    FLOWKEEP_TEST_CLUSTER_URL: cluster.url,
    FLOWKEEP_TEST_REDIS_SERVER: redisProgram.path,
    FLOWKEEP_TEST_VALKEY_SERVER: valkey.path,
    FLOWKEEP_TEST_POSTGRES_URL: postgres.url,
    FLOWKEEP_TEST_MARIADB_URL: mariadb.url,
    FLOWKEEP_TEST_CHROMIUM: chromium.path,
  }
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const failed = []
  if (filters.length > 0)
    console.log('\nRust tests: not run, since a filter for the TypeScript tests was given')
  else if (await timed('Rust tests', () => rustTests(env))) failed.push('Rust tests')
  if (await timed('TypeScript tests', () => run(process.execPath, [vitest, 'run', ...filters], { env }))) {
    failed.push('TypeScript tests')
  }
  await Promise.all([redis.stop(), cluster.stop(), postgres.stop(), mariadb.stop()])
  console.log('')
  console.table(phases)
  if (failed.length > 0) throw new Stop(`failed: ${failed.join(', ')}`)
})
