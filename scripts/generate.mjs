// Writes what is generated from the Rust types; with --check only compares, and fails when it is stale.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** The folders that hold nothing else; of the others only the files named. */
const places = ['schemas', 'js/generated', 'js/zod/index.ts']

function generate(into) {
  const command = ['run', '--quiet', '--package', 'flowkeep-core', '--example', 'generate', '--', into]
  const { status, error } = spawnSync('cargo', command, { cwd: root, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function filesOf(base) {
  return places.flatMap((place) => {
    if (place.endsWith('.ts')) return [place]
    const names = readdirSync(join(base, place), { withFileTypes: true }).filter((entry) => entry.isFile())
    return names.map((entry) => relative(base, join(base, place, entry.name)))
  })
}

if (process.argv.includes('--check')) {
  const fresh = mkdtempSync(join(tmpdir(), 'flowkeep-generated-'))
  try {
    generate(fresh)
    for (const place of places.filter((name) => !name.endsWith('.ts')))
      mkdirSync(join(root, place), { recursive: true })
    const files = new Set([...filesOf(fresh), ...filesOf(root)])
    const stale = [...files].filter((file) => read(join(fresh, file)) !== read(join(root, file)))
    if (stale.length > 0) {
      console.error(`stale, run \`npm run generate\`:\n  ${stale.join('\n  ')}`)
      process.exitCode = 1
    }
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
} else {
  generate(root)
}
