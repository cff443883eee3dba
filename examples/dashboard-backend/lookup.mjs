// Looks a file up in an index of the checkout. Without an index it builds one and fails: the caller is to try again.
// Usage: node lookup.mjs <index file> <name>
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** What tools put there; hidden directories are left out as well. */
const NOT_SOURCES = new Set(['node_modules', 'target', 'dist'])

const [index, name] = process.argv.slice(2)

if (!existsSync(index)) {
  const files = [...walk('')]
  writeFileSync(index, JSON.stringify(files))
  console.error(`indexed ${files.length} files`)
  console.error(`there was no index to look ${name} up in`)
  process.exit(1)
}

const files = JSON.parse(readFileSync(index, 'utf8'))
const found = files.filter((file) => file === name || file.endsWith(`/${name}`))
console.log(`${found.length} of ${files.length} files are called ${name}`)
for (const file of found) console.log(`  ${file}`)

/** @returns {Generator<string>} */
function* walk(/** @type {string} */ directory) {
  for (const entry of readdirSync(directory || '.', { withFileTypes: true })) {
    if (entry.name.startsWith('.') || NOT_SOURCES.has(entry.name)) continue
    const path = directory === '' ? entry.name : `${directory}/${entry.name}`
    if (entry.isDirectory()) yield* walk(path)
    else if (entry.isFile()) yield path
  }
}
