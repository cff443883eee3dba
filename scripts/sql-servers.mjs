// PostgreSQL and MariaDB for the tests, from the system's packages: found, else installed, else it says what is
// missing. Both refuse to run as root, or should: then they run as the user that their package made.
//   node scripts/sql-servers.mjs      starts both and prints their URLs until Ctrl-C
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { startServer } from './servers.mjs'
import { atLeast, capture, installPackage, runMain, Stop, versionIn, which } from './system.mjs'

/** Everybody's password on servers that live for one test run and hear 127.0.0.1 only. */
const password = 'flowkeep-test'

/** Where the packages put programs that are not on PATH. */
function folders() {
  const postgres = '/usr/lib/postgresql'
  const versions = existsSync(postgres) ? readdirSync(postgres).sort((a, b) => Number(b) - Number(a)) : []
  return [
    ...versions.map((version) => join(postgres, version, 'bin')),
    '/usr/sbin',
    '/usr/libexec',
    '/usr/bin',
  ]
}

function find(...names) {
  return which(...names, ...folders().flatMap((folder) => names.map((name) => join(folder, name))))
}

/** A program of a server, and the others that it needs; stops with what is missing. */
async function ensure({ title, needs, least, packages }) {
  const found = () => needs.map((names) => find(...names))
  let paths = found()
  if (paths.includes(null)) {
    const refusal = await installPackage(packages)
    paths = found()
    const missing = needs.filter((_, place) => paths[place] === null).map((names) => names.join(' or '))
    if (missing.length > 0)
      throw new Stop(`${title} >= ${least} is missing (${missing.join(', ')}); ${refusal}`)
  }
  const version = versionIn(capture(paths[0], ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] }))
  if (!version || !atLeast(version, least))
    throw new Stop(`${title} >= ${least} is needed, ${paths[0]} is ${version}`)
  return { paths, version }
}

/** A PostgreSQL: `{ paths, version }`. */
export const ensurePostgres = () =>
  ensure({
    title: 'PostgreSQL',
    needs: [['postgres'], ['initdb'], ['pg_isready']],
    least: '12',
    packages: {
      'apt-get': ['postgresql'],
      dnf: ['postgresql-server'],
      apk: ['postgresql'],
      brew: ['postgresql@16'],
    },
  })

/** A MariaDB: `{ paths, version }`. */
export const ensureMariadb = () =>
  ensure({
    title: 'MariaDB',
    needs: [['mariadbd'], ['mariadb-install-db']],
    least: '10.5',
    packages: {
      'apt-get': ['mariadb-server'],
      dnf: ['mariadb-server'],
      apk: ['mariadb'],
      brew: ['mariadb'],
    },
  })

/** How to run as the user that a package made, when we are root: what stands in front of a command, and the user. */
function servant(name) {
  if (process.getuid?.() !== 0) return { before: [] }
  const id = (flag) => Number(capture('id', [flag, name]))
  const [uid, gid] = [id('-u'), id('-g')]
  const setpriv = which('setpriv')
  if (!uid || !setpriv)
    throw new Stop(`${name}: as root it needs a user of that name and the program setpriv`)
  return { before: [setpriv, `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'], uid, gid }
}

function must([command, ...args], cwd) {
  const done = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (done.status !== 0) throw new Stop(`failed: ${command} ${args.join(' ')}\n${done.stdout}${done.stderr}`)
}

/** The server's folder, made the user's. */
function give(folder, { uid, gid }) {
  if (uid === undefined) return
  chownSync(folder, uid, gid)
  chmodSync(folder, 0o700)
}

/** Starts a PostgreSQL: `{ url, port, folder, version, pid, log(), stop(), crash() }`; `place` is where one crashed. */
export async function startPostgres({ place: before } = {}) {
  const { paths, version } = await ensurePostgres()
  const [postgres, initdb, ready] = paths
  const user = servant('postgres')
  const argsFor = ({ port, folder }) => {
    const secret = join(folder, 'password')
    const data = join(folder, 'data')
    if (!before) {
      writeFileSync(secret, password)
      if (user.uid !== undefined) chownSync(secret, user.uid, user.gid)
      give(folder, user)
      const made = ['-D', data, '-U', 'flowkeep', '-A', 'scram-sha-256', `--pwfile=${secret}`, '--no-sync']
      must([...user.before, initdb, ...made], folder)
    }
    const settings = [
      'fsync=off',
      'unix_socket_directories=',
      'deadlock_timeout=100ms',
      'max_connections=200',
    ]
    const place = ['-D', data, '-p', `${port}`, '-h', '127.0.0.1']
    return [...user.before.slice(1), ...(user.before.length > 0 ? [postgres] : []), ...place].concat(
      settings.flatMap((setting) => ['-c', setting]),
    )
  }
  const server = await startServer({
    name: 'postgres',
    path: user.before[0] ?? postgres,
    argsFor,
    answers: ({ port }) =>
      Promise.resolve(spawnSync(ready, ['-h', '127.0.0.1', '-p', `${port}`]).status === 0),
    place: before,
  })
  return { ...server, version, url: `postgres://flowkeep:${password}@127.0.0.1:${server.port}/postgres` }
}

/** Whether a server says hello: MariaDB does so before it is asked. */
function greets(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const done = (answer) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(500, () => done(false))
    socket.once('error', () => done(false))
    socket.once('data', (bytes) => done(bytes.includes('MariaDB')))
  })
}

/** Starts a MariaDB: as `startPostgres`. */
export async function startMariadb({ place: before } = {}) {
  const { paths, version } = await ensureMariadb()
  const [mariadbd, install] = paths
  const user = servant('mysql')
  const argsFor = ({ port, folder }) => {
    const first = join(folder, 'first.sql')
    writeFileSync(
      first,
      `CREATE DATABASE IF NOT EXISTS flowkeep;\n` +
        `CREATE USER IF NOT EXISTS 'flowkeep'@'127.0.0.1' IDENTIFIED BY '${password}';\nGRANT ALL ON flowkeep.* TO 'flowkeep'@'127.0.0.1';\n`,
    )
    if (user.uid !== undefined) chownSync(first, user.uid, user.gid)
    give(folder, user)
    const data = join(folder, 'data')
    const made = [
      `--datadir=${data}`,
      '--no-defaults',
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
    ]
    const ordered = made.toSorted((a) => (a === '--no-defaults' ? -1 : 0))
    if (!before) must([...user.before, install, ...ordered], folder)
    const settings = ['--skip-log-bin', '--innodb-flush-log-at-trx-commit=2', '--skip-name-resolve']
    const place = [
      `--datadir=${data}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      `--socket=${folder}/socket`,
    ]
    const plain = ['--no-defaults', ...place, `--init-file=${first}`, ...settings]
    return [...user.before.slice(1), ...(user.before.length > 0 ? [mariadbd] : []), ...plain]
  }
  const server = await startServer({
    name: 'mariadb',
    path: user.before[0] ?? mariadbd,
    argsFor,
    answers: ({ port }) => greets(port),
    place: before,
  })
  return { ...server, version, url: `mysql://flowkeep:${password}@127.0.0.1:${server.port}/flowkeep` }
}

if (process.argv[1] === import.meta.filename) {
  await runMain(async () => {
    for (const start of [startPostgres, startMariadb]) {
      const server = await start()
      console.log(`${server.version}, pid ${server.pid}\n${server.url}`)
    }
    setInterval(() => {}, 2 ** 30)
  })
}
