// The documents at the root say what is true: their TypeScript compiles and runs, their links lead somewhere.
// A block marked `ts` is type-checked and run as a program; `ts no-run` is only type-checked.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { beforeAll, describe, expect, it } from 'vitest'
import { redisUrl } from './support/redis.js'

const root = join(import.meta.dirname, '..')
// Inside the checkout, so that `flowkeep` is this package itself, as its own exports define it.
const folder = join(root, 'target/documents')
const run = promisify(execFile)

interface Block {
  document: string
  line: number
  language: string
  marks: string[]
  text: string
}

/** The fenced blocks of a document. */
function blocks(document: string, text: string): Block[] {
  const fences = text.matchAll(/^```(\S*)[ \t]*(.*)\n([\s\S]*?)^```/gm)
  return [...fences].map(({ 1: language = '', 2: marks = '', 3: body = '', index }) => {
    const line = text.slice(0, index).split('\n').length
    return { document, line, language, marks: marks.split(' '), text: body }
  })
}

const documents = readdirSync(root).filter((name) => name.endsWith('.md'))
const read = (name: string) => readFileSync(join(root, name), 'utf8')
const all = documents.flatMap((name) => blocks(name, read(name)))
const programs = all.filter(({ language }) => language === 'ts' || language === 'typescript')
const nameOf = ({ document, line }: Block) => `${document.replace(/\W/g, '-')}-${line}`

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const block of programs) writeFileSync(join(folder, `${nameOf(block)}.mts`), block.text)
})

it('the README has a program, and names the two commands', () => {
  expect(programs.some(({ document, marks }) => document === 'README.md' && !marks.includes('no-run'))).toBe(
    true,
  )
  const shell = all.filter(
    ({ document, language }) => document === 'README.md' && /^(sh|bash|shell)$/.test(language),
  )
  const commands = shell.map(({ text }) => text).join('\n')
  expect(commands).toContain('npm start')
  expect(commands).toContain('npm test')
})

it('every TypeScript block compiles', () => {
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
  }
  const paths = programs.map((block) => join(folder, `${nameOf(block)}.mts`))
  const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram(paths, options))
  const host = {
    getCanonicalFileName: (name: string) => name,
    getCurrentDirectory: () => folder,
    getNewLine: () => '\n',
  }
  expect(ts.formatDiagnostics(diagnostics, host)).toBe('')
}, 120_000)

const runnable = programs.filter(({ marks }) => !marks.includes('no-run'))

describe.runIf(runnable.length > 0)('runs', () => {
  it.each(runnable.map((block) => [`${block.document}:${block.line}`, block] as const))(
    '%s',
    async (_place, block) => {
      const options = { module: ts.ModuleKind.ES2022, target: ts.ScriptTarget.ES2022 }
      const { outputText } = ts.transpileModule(block.text, { compilerOptions: options })
      const path = join(folder, `${nameOf(block)}.mjs`)
      writeFileSync(path, outputText)
      const env = { ...process.env, NODE_ENV: '', REDIS_URL: redisUrl() }
      await run(process.execPath, [path], { cwd: folder, env, timeout: 20_000 })
    },
  )
})

it.each(documents)('the links of %s lead to files that exist', (document) => {
  const links = [...read(document).matchAll(/\]\(([^)#\s]+)(#[^)\s]*)?\)/g)].map(([, target = '']) => target)
  const local = links.filter((target) => !/^[a-z]+:/.test(target))
  expect(local.filter((target) => !existsSync(join(root, target)))).toEqual([])
})

it('finds blocks', () => {
  const text = 'a\n```ts no-run\nlet a\n```\n\n```sh\nnpm start\n```\n'
  expect(blocks('x.md', text)).toEqual([
    { document: 'x.md', line: 2, language: 'ts', marks: ['no-run'], text: 'let a\n' },
    { document: 'x.md', line: 6, language: 'sh', marks: [''], text: 'npm start\n' },
  ])
})
