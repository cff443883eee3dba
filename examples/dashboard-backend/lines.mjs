// Counts the lines of the sources that an index names.
// Usage: node lines.mjs <index file>
import { readFileSync } from 'node:fs'
import { extname } from 'node:path'

const SOURCES = new Set(['.rs', '.ts', '.mjs', '.js', '.css', '.html', '.md'])

const files = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const counts = new Map()
for (const file of files) {
  const kind = extname(file)
  if (!SOURCES.has(kind)) continue
  const lines = readFileSync(file, 'utf8').split('\n').length - 1
  const { files: seen, lines: sum } = counts.get(kind) ?? { files: 0, lines: 0 }
  counts.set(kind, { files: seen + 1, lines: sum + lines })
}

for (const [kind, { files, lines }] of [...counts].sort((a, b) => b[1].lines - a[1].lines)) {
  console.log(`${kind.padEnd(6)} ${String(lines).padStart(7)} lines in ${String(files).padStart(4)} files`)
}
