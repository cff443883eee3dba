import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

function server(variable: string): string {
  const url = process.env[variable]
  if (url) return url
  throw new Error(`${variable} is not set. Run \`npm test\`, which starts a server for the tests.`)
}

/** A database for breakers: its URL, and a prefix that nobody else uses. */
export interface Database {
  name: string
  url: string
  prefix: string
  dispose(): void
}

const unique = () => `t${randomBytes(5).toString('hex')}_`

/** A file of SQLite that goes with the test. */
export function sqlite(): Database {
  const file = join(tmpdir(), `flowkeep-${unique()}.db`)
  const dispose = () => {
    for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true })
  }
  return { name: 'SQLite', url: `sqlite://${file}?mode=rwc`, prefix: '', dispose }
}

/** Every database that breakers can be kept in. */
export function databases(): Database[] {
  const dispose = () => {}
  return [
    sqlite(),
    { name: 'PostgreSQL', url: server('FLOWKEEP_TEST_POSTGRES_URL'), prefix: unique(), dispose },
    { name: 'MariaDB', url: server('FLOWKEEP_TEST_MARIADB_URL'), prefix: unique(), dispose },
  ]
}
