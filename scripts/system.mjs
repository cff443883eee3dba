// What the scripts share: running programs, finding them, and asking the system's package manager for one.
// Node built-ins only, so that it works before anything is installed.
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the checkout. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)))

const windows = process.platform === 'win32'

/** A reason to stop that the reader can act on: printed without a stack. */
export class Stop extends Error {}

/** Runs `main` and turns what it throws into one message and exit code 1. */
export async function runMain(main) {
  try {
    process.exitCode = (await main()) ?? 0
  } catch (error) {
    console.error(error instanceof Stop ? `\n${error.message}` : error)
    process.exitCode = 1
  }
}

/** The first of `names` that is a program on PATH (or an absolute path to one), or null. */
export function which(...names) {
  const endings = windows ? ['.exe', '.cmd', ''] : ['']
  for (const name of names) {
    const folders = name.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter)
    for (const folder of folders) {
      for (const ending of endings) {
        const path = join(folder, name + ending)
        try {
          accessSync(path, constants.X_OK)
          return path
        } catch {
          // Not here: the next folder may have it.
        }
      }
    }
  }
  return null
}

/** What a program prints on standard output, trimmed; null when it can't be run or fails. */
export function capture(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: 'utf8', cwd: root, ...options })
  return done.status === 0 ? done.stdout.trim() : null
}

/** Runs a program in the foreground; its exit code (a signal counts as 1). A SIGTERM is passed on to it. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', cwd: root, ...options })
    const passOn = () => child.kill('SIGTERM')
    process.on('SIGTERM', passOn)
    child.once('error', (error) => reject(new Stop(`${command} can't be run: ${error.message}`)))
    child.once('close', (code) => {
      process.off('SIGTERM', passOn)
      resolve(code ?? 1)
    })
  })
}

/** As `run`, but anything except success stops the script. */
export async function must(command, args, options = {}) {
  const code = await run(command, args, options)
  if (code !== 0) throw new Stop(`failed (exit ${code}): ${command} ${args.join(' ')}`)
}

/** npm as the current Node runs it; a plain `npm` only when this script was not started by npm. */
export function npm(...args) {
  const cli = process.env.npm_execpath
  return cli?.endsWith('.js') ? [process.execPath, [cli, ...args]] : [windows ? 'npm.cmd' : 'npm', args]
}

/** The first dotted number in a text: `Redis server v=7.0.15 sha=...` -> `7.0.15`. */
export function versionIn(text) {
  return /\d+(\.\d+)+/.exec(text ?? '')?.[0] ?? null
}

/** Whether `version` is `least` or newer, both dotted numbers. */
export function atLeast(version, least) {
  const left = version.split('.').map(Number)
  const right = least.split('.').map(Number)
  for (let i = 0; i < right.length; i++) {
    const difference = (left[i] ?? 0) - right[i]
    if (difference !== 0) return difference > 0
  }
  return true
}

// How each package manager is told to install; `update` comes first where a fresh image has no lists.
const managers = [
  { name: 'apt-get', root: true, update: ['update', '-qq'], install: ['install', '-y', '-qq'] },
  { name: 'dnf', root: true, install: ['install', '-y', '-q'] },
  { name: 'apk', root: true, install: ['add', '--no-cache', '-q'] },
  { name: 'brew', root: false, install: ['install', '--quiet'] },
]

/**
 * Installs a package by the system's package manager, when there is one and it may be used (root, a password-less
 * sudo, or Homebrew). `packages` names it for each manager: `{ 'apt-get': [...], dnf: [...], ... }`.
 * Returns null on success, otherwise the reason why not.
 */
export async function installPackage(packages) {
  const manager = managers.find(({ name }) => packages[name] && which(name))
  if (!manager) return `no known package manager (${Object.keys(packages).join(', ')}) on PATH`
  const wanted = packages[manager.name]
  const by = manager.root && process.getuid?.() !== 0 ? ['sudo', '-n'] : []
  if (by.length > 0 && capture('sudo', ['-n', 'true']) === null) {
    return `${manager.name} needs root, and sudo asks for a password here`
  }
  console.log(`installing ${wanted.join(' ')} by ${manager.name}`)
  // A server package must not start its service: the tests start their own on a free port.
  const settings = ['env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1']
  for (const args of [manager.update, [...manager.install, ...wanted]]) {
    if (!args) continue
    const [command, ...rest] = [...by, ...settings, manager.name, ...args]
    const code = await run(command, rest, { stdio: ['ignore', 'ignore', 'inherit'] })
    if (code !== 0) return `${manager.name} ${args.join(' ')} failed (exit ${code})`
  }
  return null
}
