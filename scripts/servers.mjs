// The real servers that the tests need. Each has an `ensure` (find it, else install it, else say what is missing)
// and a `start` (free port of 127.0.0.1, own temp directory, killed by pid, gone when this process is).
//   node scripts/servers.mjs      starts one Redis and prints its URL until Ctrl-C
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { atLeast, capture, installPackage, runMain, Stop, versionIn, which } from './system.mjs'

/** What the tests need, how it is found and how it is installed. */
const programs = {
  redis: {
    title: 'redis-server (or valkey-server)',
    names: ['redis-server', 'valkey-server'],
    override: 'FLOWKEEP_TEST_REDIS_SERVER',
    least: '6.2',
    packages: { 'apt-get': ['redis-server'], dnf: ['valkey'], apk: ['redis'], brew: ['redis'] },
  },
  chromium: {
    title: 'Chromium',
    names: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
    also: ['/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'],
    override: 'FLOWKEEP_TEST_CHROMIUM',
    least: '100',
    packages: { 'apt-get': ['chromium'], dnf: ['chromium'], apk: ['chromium'], brew: ['chromium'] },
  },
}

/** Finds a program or installs it. `{ path, version }`; stops with an exact message when neither works. */
async function ensure({ title, names, also = [], override, least, packages }) {
  const find = () => (process.env[override] ? which(process.env[override]) : which(...names, ...also))
  let path = find()
  if (!path) {
    const refusal = process.env[override] ? `${override} names no program` : await installPackage(packages)
    path = find()
    if (!path)
      throw new Stop(`${title} >= ${least} is missing: not on PATH (${names.join(', ')}); ${refusal}`)
  }
  const version = versionIn(capture(path, ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] }))
  if (!version) throw new Stop(`${title}: ${path} --version prints no version`)
  if (!atLeast(version, least)) throw new Stop(`${title} >= ${least} is needed, ${path} is ${version}`)
  return { path, version }
}

/** A Redis (or Valkey) server program: `{ path, version }`. */
export const ensureRedis = () => ensure(programs.redis)

/** A Chromium for the browser tests: `{ path, version }`. */
export const ensureChromium = () => ensure(programs.chromium)

/** A port of 127.0.0.1 that was free a moment ago; whoever binds it next must be ready to lose the race. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })
}

// Everything that runs now, so that no exit leaves a server behind.
const running = new Set()

function endAll() {
  for (const server of running) server.kill()
}

function watchForTheEnd() {
  if (running.size > 0) return
  process.on('exit', endAll)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(signal, () => {
      endAll()
      // Whoever else listens decides what happens next; otherwise the signal does what it always does.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
    })
  }
}

/**
 * Starts a server program and waits until it answers.
 * `argsFor({ port, folder })` gives its arguments, `answers({ port, folder })` resolves to true once it serves.
 * `place` is where one stood before: its port and its folder, which then stays.
 */
export async function startServer({ name, path, argsFor, answers, env, place }) {
  for (let attempt = 1; ; attempt++) {
    const port = place?.port ?? (await freePort())
    const folder = place?.folder ?? mkdtempSync(join(tmpdir(), `flowkeep-${name}-`))
    const log = []
    const child = spawn(path, argsFor({ port, folder }), { cwd: folder, env: { ...process.env, ...env } })
    const gone = new Promise((resolve) =>
      child.once('close', resolve).once('error', (error) => log.push(`${error}`)),
    )
    const ended = () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined
    const server = {
      kill() {
        running.delete(server)
        if (!ended()) child.kill('SIGKILL')
        // A killed server may still be writing: the system may need a few tries.
        rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
      },
    }
    watchForTheEnd()
    running.add(server)
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => log.push(text.toString()))
    for (let waited = 0; !ended() && waited < 10_000; waited += 20) {
      if (await answers({ port, folder }).catch(() => false)) {
        // The server must not keep this process alive by itself.
        child.unref()
        child.stdout.unref()
        child.stderr.unref()
        const stop = async () => {
          if (!ended()) child.kill('SIGTERM')
          const late = setTimeout(() => server.kill(), 2000)
          await gone
          clearTimeout(late)
          server.kill()
        }
        const crash = async () => {
          running.delete(server)
          if (!ended()) child.kill('SIGKILL')
          await gone
        }
        return { port, folder, pid: child.pid, log: () => log.join(''), stop, crash }
      }
      await sleep(20)
    }
    server.kill()
    const lost = /address already in use/i.test(log.join(''))
    if (!lost || attempt === 5) throw new Stop(`${name} did not start: ${path}\n${log.join('')}`)
  }
}

// PING over a bare socket; true for PONG and for a server that answers but wants a password first.
function ping(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const done = (answer) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(500, () => done(false))
    socket.once('error', () => done(false))
    socket.once('data', (text) => done(/^(\+PONG|-NOAUTH)/.test(text.toString())))
  })
}

/**
 * Starts a Redis that keeps nothing on disk, unless `args` say otherwise (they come last, so they win).
 * `{ url, port, version, pid, folder, log(), stop() }`.
 */
export const startRedis = async ({ args = [] } = {}) => startProgram(await ensureRedis(), args)

/** The same with a program that is known. */
export async function startProgram({ path, version }, args) {
  const plain = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no']
  const server = await startServer({
    name: 'redis',
    path,
    argsFor: ({ port, folder }) => ['--port', `${port}`, '--dir', folder, ...plain, ...args],
    answers: ({ port }) => ping(port),
  })
  return { ...server, version, url: `redis://127.0.0.1:${server.port}` }
}

/** The version a running Redis reports of itself, asked over a bare socket; null when it does not answer. */
export function redisVersion(url) {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(Number(port || 6379), hostname, () => socket.write('INFO server\r\n'))
    const done = () => {
      socket.destroy()
      resolve(/(?:valkey|redis)_version:(\S+)/.exec(text)?.[1] ?? null)
    }
    socket.setTimeout(2000, done)
    socket.once('error', done)
    socket.on('data', (more) => {
      text += more
      if (text.includes('redis_version')) done()
    })
  })
}

if (process.argv[1] === import.meta.filename) {
  await runMain(async () => {
    const redis = await startRedis({ args: process.argv.slice(2) })
    console.log(`redis-server ${redis.version}, pid ${redis.pid}\n${redis.url}\nCtrl-C stops it`)
    // The server itself holds nothing open here: this does, until a signal comes.
    setInterval(() => {}, 2 ** 30)
  })
}
