// The package as users get it: packed, installed outside the checkout, run on the Node versions they have.
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ensureNode, otherNodes } from '../scripts/nodes.mjs'
import { pack } from '../scripts/pack.mjs'

const root = join(import.meta.dirname, '..')
const run = promisify(execFile)

// The real path: a temporary folder is a link on some systems, and module paths are compared.
const project = realpathSync(mkdtempSync(join(tmpdir(), 'flowkeep-consumer-')))
const tarballs = join(project, 'tarballs')
let packed: { main: string; platforms: string[] }

interface Manifest {
  scripts?: Record<string, string>
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  peerDependenciesMeta?: Record<string, { optional?: boolean }>
  [field: string]: unknown
}

const installed = (...parts: string[]) => join(project, 'node_modules', ...parts)
const manifestOf = (name: string) =>
  JSON.parse(readFileSync(installed(name, 'package.json'), 'utf8')) as Manifest

/** The one platform package of this machine, by name. */
function platformPackage(): string {
  const names = Object.keys(manifestOf('flowkeep').optionalDependencies ?? {})
  expect(names).toHaveLength(1)
  return names[0] ?? ''
}

const npm = async (args: string[], cwd: string) =>
  (await run('npm', args, { cwd, maxBuffer: 1 << 26 })).stdout

/** The paths in a tarball, without their `package/`. */
async function contents(tarball: string): Promise<string[]> {
  const { stdout } = await run('tar', ['-tzf', tarball])
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.replace(/^package\//, ''))
    .sort()
}

const program = (load: string) => `${load}
const main = async () => {
  const storage = await openStorage({ backend: 'memory' })
  const session = await storage.createSession('demo', { title: 'packed', metadata: { a: [1, null] } })
  const again = await storage.getSession(session.sessionId)
  const { items } = await storage.events({ sessionId: session.sessionId })
  await storage.close()
  console.log(JSON.stringify([again.title, again.metadata, items.map((item) => item.type)]))
}
main()
`
const printed = JSON.stringify(['packed', { a: [1, null] }, ['session:created']])

const typed = (load: string, give: string) => `${load}
async function demo(): Promise<string> {
  const storage: flowkeep.Storage = await flowkeep.openStorage({ backend: 'memory' })
  const session: flowkeep.Session = await storage.createSession('demo', { title: 'typed' })
  return session.sessionId
}
${give}
`

beforeAll(async () => {
  packed = await pack({ into: tarballs, profile: 'quick', quiet: true })
  writeFileSync(join(project, 'package.json'), '{ "private": true }\n')
  const flags = ['--no-audit', '--no-fund', '--silent', '--foreground-scripts']
  await npm(['install', ...flags, packed.main, ...packed.platforms], project)
  // The compiler and Node's types are the checkout's own: what is tested is how they find the package.
  cpSync(join(root, 'node_modules/@types/node'), installed('@types/node'), { recursive: true })
  cpSync(join(root, 'node_modules/undici-types'), installed('undici-types'), { recursive: true })
  writeFileSync(join(project, 'esm.mjs'), program("import { openStorage } from 'flowkeep'"))
  writeFileSync(join(project, 'commonjs.cjs'), program("const { openStorage } = require('flowkeep')"))
  writeFileSync(join(project, 'typed.mts'), typed("import * as flowkeep from 'flowkeep'", 'export { demo }'))
  writeFileSync(join(project, 'typed.cts'), typed("import flowkeep = require('flowkeep')", 'export = demo'))
}, 300_000)

afterAll(() => rmSync(project, { recursive: true, force: true }))

describe.each(['current', ...otherNodes])('on Node %s', (version) => {
  it.each(['esm.mjs', 'commonjs.cjs'])(
    'createSession works from %s',
    async (file) => {
      const node = version === 'current' ? process.execPath : await ensureNode(version)
      const { stdout, stderr } = await run(node, [file], { cwd: project })
      expect(stdout.trim()).toBe(printed)
      expect(stderr).toBe('')
    },
    120_000,
  )
})

it.each(['typed.mts', 'typed.cts'])('%s type-checks against the installed package', async (file) => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const flags = [
    '--noEmit',
    '--strict',
    '--verbatimModuleSyntax',
    '--exactOptionalPropertyTypes',
    '--pretty',
    'false',
  ]
  const target = ['--module', 'node16', '--target', 'es2022', '--types', 'node']
  const done = await run(process.execPath, [tsc, ...flags, ...target, file], { cwd: project }).catch(
    (error) => error,
  )
  expect(done.stdout).toBe('')
})

it('installs nothing but itself and the binary of this platform, and runs nothing', async () => {
  const manifest = manifestOf('flowkeep')
  const platform = platformPackage()
  expect(manifest.dependencies ?? {}).toEqual({})
  expect(Object.values(manifest.peerDependenciesMeta ?? {})).toEqual([{ optional: true }])
  for (const name of ['flowkeep', platform]) {
    const { scripts = {}, gypfile } = manifestOf(name) as Manifest & { gypfile?: boolean }
    expect(
      Object.keys(scripts).filter((script) => /^(pre|post)?(install|prepare|publish)/.test(script)),
    ).toEqual([])
    expect(gypfile).toBeUndefined()
    expect(manifestOf(name).license).toBe('MIT OR Apache-2.0')
  }
  const lock = JSON.parse(readFileSync(installed('.package-lock.json'), 'utf8')) as {
    packages: Record<string, { hasInstallScript?: boolean }>
  }
  expect(Object.keys(lock.packages).sort()).toEqual([`node_modules/flowkeep`, `node_modules/${platform}`])
  expect(Object.values(lock.packages).some((entry) => entry.hasInstallScript)).toBe(false)
})

it('contains what it should and nothing else', async () => {
  const exact = [
    'CHANGELOG.md',
    'LICENSE-APACHE',
    'LICENSE-MIT',
    'README.md',
    'native.d.ts',
    'native.js',
    'package.json',
  ]
  const files = await contents(packed.main)
  const other = files.filter((file) => !exact.includes(file))
  expect(files).toEqual(
    expect.arrayContaining([
      ...exact,
      'dist/index.js',
      'dist/index.d.ts',
      'dist/cli.js',
      'dist/zod/index.js',
      'dist/sse.js',
      'dist/sse.d.ts',
    ]),
  )
  expect(other.filter((file) => !/^dist\/.+\.(js|d\.ts)$|^schemas\/.+\.json$/.test(file))).toEqual([])

  const binary = `flowkeep.${platformPackage().replace('flowkeep-', '')}.node`
  expect(packed.platforms).toHaveLength(1)
  const platformFiles = await contents(packed.platforms[0] ?? '')
  expect(platformFiles).toEqual(['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', binary, 'package.json'].sort())
})

it('has no test hook in the binary that ships', async () => {
  const code = `require('flowkeep').openStorage({ backend: 'memory' })
    .then((storage) => storage.getSession('test-panic'))
    .catch((error) => console.log(error.code))`
  const { stdout } = await run(process.execPath, ['-e', code], { cwd: project })
  expect(stdout.trim()).toBe('STORAGE_INVALID')
})

it('flowkeep/sse can be loaded both ways, and answers', async () => {
  const use = `const storage = new MemoryStorage()
    storage.createSession('ada', {}).then(async ({ userId }) => {
      const response = toResponse(storage.subscribe({ userId }))
      const reader = response.body.getReader()
      let text = ''
      while (!text.includes('session:created')) text += new TextDecoder().decode((await reader.read()).value)
      console.log(response.headers.get('content-type'), /^id: /m.test(text))
      await reader.cancel()
      await storage.close()
    })`
  const commonjs = `const { MemoryStorage } = require('flowkeep'); const { toResponse } = require('flowkeep/sse'); ${use}`
  const module = `import { MemoryStorage } from 'flowkeep'; import { toResponse } from 'flowkeep/sse'; ${use}`
  for (const [type, code] of [
    ['commonjs', commonjs],
    ['module', module],
  ] as const) {
    const { stdout } = await run(process.execPath, [`--input-type=${type}`, '-e', code], { cwd: project })
    expect(stdout.trim()).toBe('text/event-stream; charset=utf-8 true')
  }
})

it('the command is installed and answers', async () => {
  const { stdout } = await run(installed('.bin/flowkeep'), ['--help'], { cwd: project })
  expect(stdout).toContain('record')
})

it('publint finds nothing', async () => {
  const { publint } = await import('publint')
  const tarball = readFileSync(packed.main)
  const { messages } = await publint({ pack: { tarball: Uint8Array.from(tarball).buffer }, strict: true })
  expect(messages).toEqual([])
})

it('attw finds nothing', async () => {
  const attw = join(root, 'node_modules/.bin/attw')
  const done = await run(attw, [packed.main, '--format', 'ascii', '--no-color'], { cwd: project }).catch(
    (error) => error,
  )
  expect(done.code, done.stdout).toBeUndefined()
  expect(done.stdout).toContain('No problems found')
})
