// `npm start`: installs and builds what is missing, then runs the dashboard backend, which prints its link.
// NODE_ENV and REDIS_URL decide the storage; without them it is memory.
import { join } from 'node:path'
import { prepare } from './prepare.mjs'
import { root, run, runMain } from './system.mjs'

await runMain(async () => {
  await prepare({ profile: 'quick' })
  // Ctrl-C goes to the whole process group: the backend closes itself, and this process waits for it.
  process.on('SIGINT', () => {})
  if (process.env.npm_lifecycle_event) endWithParent()
  return run(process.execPath, [
    join(root, 'examples/dashboard-backend/server.mjs'),
    ...process.argv.slice(2),
  ])
})

// npm passes a SIGTERM to the shell that it started, and the shell keeps it to itself: without this the backend
// would run on after `npm start` was ended by pid.
function endWithParent() {
  const parent = process.ppid
  const look = () => process.ppid === parent || process.kill(process.pid, 'SIGTERM')
  setInterval(look, 500).unref()
}
