// `npm start`: installs and builds what is missing, then runs the dashboard backend, which prints its link.
// NODE_ENV and REDIS_URL decide the storage; without them it is memory.
import { join } from 'node:path'
import { prepare } from './prepare.mjs'
import { root, run, runMain } from './system.mjs'

await runMain(async () => {
  await prepare({ profile: 'quick' })
  // Ctrl-C goes to the whole process group: the backend closes itself, and this process waits for it.
  process.on('SIGINT', () => {})
  return run(process.execPath, [
    join(root, 'examples/dashboard-backend/server.mjs'),
    ...process.argv.slice(2),
  ])
})
