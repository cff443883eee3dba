// Brings a clone to the point where it runs: npm packages, the addon (cargo, through napi), dist/ (tsc, rolldown).
// Work that is up to date is skipped. Used by start, test and pack; alone it is `npm run build`:
//   node scripts/prepare.mjs [--quick | --release] [--test-hooks] [--typescript]: the last is dist/ alone
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import {
  atLeast,
  capture,
  installPackage,
  must,
  npm,
  root,
  runMain,
  Stop,
  versionIn,
  which,
} from './system.mjs'

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const cargo = readFileSync(join(root, 'Cargo.toml'), 'utf8')

/** The versions of Node and Rust in use; stops with what is missing. */
export async function checkTools() {
  const leastNode = versionIn(manifest.engines.node)
  if (!atLeast(process.versions.node, leastNode)) {
    throw new Stop(`Node >= ${leastNode} is needed, this is ${process.versions.node}: https://nodejs.org`)
  }
  const leastRust = /rust-version = "([^"]+)"/.exec(cargo)[1]
  const rust = versionIn(capture('rustc', ['--version']))
  if (!rust || !atLeast(rust, leastRust)) {
    throw new Stop(
      `Rust >= ${leastRust} is needed, ${rust ? `this is ${rust}` : 'rustc is not on PATH'}: https://rustup.rs`,
    )
  }
  if (process.platform === 'linux' && !which('cc', 'gcc', 'clang')) {
    const refusal = await installPackage({
      'apt-get': ['gcc', 'libc6-dev'],
      dnf: ['gcc'],
      apk: ['gcc', 'musl-dev'],
    })
    if (refusal) throw new Stop(`Rust needs a C linker (cc) and there is none; ${refusal}`)
  }
  return { node: process.versions.node, rustc: rust }
}

/** The target triple of this machine, for which everything is built. */
export function hostTriple() {
  return /^host: (.+)$/m.exec(capture('rustc', ['-vV']) ?? '')?.[1]
}

// `npm ci` deletes node_modules first, so it runs only when a package really differs from the lock file.
function packagesMatch(folder) {
  const installed = join(folder, 'node_modules/.package-lock.json')
  if (!existsSync(installed)) return false
  const have = JSON.parse(readFileSync(installed, 'utf8')).packages
  const { '': _, ...want } = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages
  const same = ([path, { version }]) => want[path]?.version === version
  // Optional packages of other platforms are in the lock file only.
  const present = ([path, { optional }]) => optional || have[path] !== undefined
  return Object.entries(have).every(same) && Object.entries(want).every(present)
}

/** Installs the npm packages of a folder's lock file, if they are not there already. */
export async function installPackages(folder = root) {
  if (packagesMatch(folder)) return
  await must(...npm('ci', '--ignore-scripts', '--no-audit', '--no-fund'), { cwd: folder })
}

/** Where the binary that ships is built, and the one with test hooks. */
export const shippedFolder = join(root, 'target/addon/shipped')
const hooksFolder = join(root, 'target/addon/hooks')

// What the addon is made of. Cargo would find out by itself, but it keeps one binary only: going from the one with
// hooks to the one that ships and back would compile every time.
const ingredients = [
  'src',
  'core/src',
  'core/Cargo.toml',
  'Cargo.toml',
  'Cargo.lock',
  'build.rs',
  'package.json',
]

function stampOf(settings) {
  const hash = createHash('sha256').update(`${settings}\n${capture('rustc', ['-vV'])}`)
  const add = (path) => {
    const { mtimeMs, size } = statSync(path)
    hash.update(`${path} ${mtimeMs} ${size}\n`)
  }
  for (const name of ingredients) {
    const path = join(root, name)
    const folder = statSync(path).isDirectory()
    const inside = folder ? readdirSync(path, { recursive: true }).sort() : []
    for (const part of folder ? inside : ['']) add(join(path, part))
  }
  return hash.digest('hex')
}

async function napiBuild(into, profile, features, quiet) {
  const stamp = stampOf([profile, process.env.RUSTFLAGS, ...features].join(' '))
  const stampFile = join(into, 'stamp')
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return
  const cli = join(root, 'node_modules/@napi-rs/cli/dist/cli.js')
  const args = ['build', '--platform', '--profile', profile, '--js', 'native.js', '--dts', 'native.d.ts']
  const stdio = quiet ? ['ignore', 'ignore', 'inherit'] : 'inherit'
  await must(process.execPath, [cli, ...args, '--output-dir', into, ...features], { stdio })
  writeFileSync(stampFile, stamp)
}

/** Builds the addon as it ships, into `shippedFolder` alone. `profile` is one of Cargo.toml. */
export async function buildShipped({ profile, quiet = false }) {
  await napiBuild(shippedFolder, profile, [], quiet)
}

/**
 * Builds the addon and puts it in its place. With `hooks` the binary is one that has what only the tests use; the
 * generated `native.js` and `native.d.ts` come from the one that ships, so that they are always the same.
 */
export async function buildAddon({ profile = 'release', hooks = false } = {}) {
  await buildShipped({ profile })
  for (const name of ['native.js', 'native.d.ts']) place(shippedFolder, name)
  if (hooks) await napiBuild(hooksFolder, profile, ['--features', 'test-hooks'])
  const folder = hooks ? hooksFolder : shippedFolder
  for (const name of readdirSync(folder)) if (name.endsWith('.node')) place(folder, name)
}

// Moved in one step: a process that has the old binary loaded keeps it whole. Left alone when it is the same.
function place(folder, name) {
  const [from, to] = [join(folder, name), join(root, name)]
  if (existsSync(to) && readFileSync(from).equals(readFileSync(to))) return
  const beside = `${to}.${process.pid}`
  copyFileSync(from, beside)
  renameSync(beside, to)
}

/** Writes dist/: declarations by tsc, which checks the types, and what runs by rolldown. */
export async function buildTypescript() {
  const tool = (path, ...args) => must(process.execPath, [join(root, 'node_modules', path), ...args])
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  await tool('typescript/bin/tsc', '-p', 'tsconfig.json')
  await tool('rolldown/bin/cli.mjs', '-c', 'rolldown.config.mjs', '--logLevel', 'warn')
  chmodSync(join(root, 'dist/cli.js'), 0o755)
}

/** Everything, in order. */
export async function prepare({ profile, hooks } = {}) {
  const versions = await checkTools()
  await installPackages()
  await buildAddon({ profile, hooks })
  await buildTypescript()
  return versions
}

if (process.argv[1] === import.meta.filename) {
  const has = (flag) => process.argv.includes(flag)
  await runMain(async () => {
    if (has('--typescript')) return buildTypescript()
    await prepare({ profile: has('--quick') ? 'quick' : 'release', hooks: has('--test-hooks') })
  })
}
