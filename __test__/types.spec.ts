// The declarations, as a caller's compiler sees them: consumers in types/ must compile, and the lines they mark
// with @ts-expect-error must not.
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')
const run = promisify(execFile)

/** What the compiler says; an empty text when it has no complaint. */
async function complaints(compiler: string, project: string): Promise<string> {
  const tsc = join(root, 'node_modules', compiler, 'bin/tsc')
  try {
    await run(process.execPath, [tsc, '-p', join('__test__/types', project), '--pretty', 'false'], {
      cwd: root,
    })
    return ''
  } catch (error) {
    return (error as { stdout: string }).stdout
  }
}

function version(compiler: string): string {
  const manifest = readFileSync(join(root, 'node_modules', compiler, 'package.json'), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

describe.each(['typescript-5.4', 'typescript', 'typescript-6'])('consumers under %s', (compiler) => {
  it(`is the expected line of TypeScript (${version(compiler)})`, () => {
    const line = { 'typescript-5.4': '5.4.', typescript: '5.9.', 'typescript-6': '6.' }[compiler]
    expect(version(compiler).startsWith(line ?? '?')).toBe(true)
  })

  it('ESM and CommonJS compile under strict, exactOptionalPropertyTypes and verbatimModuleSyntax', async () => {
    expect(await complaints(compiler, 'tsconfig.json')).toBe('')
  }, 120_000)
})

// zod 4 itself asks for TypeScript 5.5.
it.each(['typescript', 'typescript-6'])(
  'flowkeep/zod compiles under %s',
  async (compiler) => {
    expect(await complaints(compiler, 'tsconfig.zod.json')).toBe('')
  },
  120_000,
)

function declarations(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  const found = entries.filter((entry) => entry.isFile() && /\.d\.[cm]?ts$/.test(entry.name))
  return found.map((entry) => join(entry.parentPath, entry.name))
}

/** Places of `any` and `const enum` in declarations, found in the syntax tree: comments don't count. */
function loose(path: string, text: string): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    const isConstEnum =
      ts.isEnumDeclaration(node) &&
      node.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.ConstKeyword)
    if (node.kind === ts.SyntaxKind.AnyKeyword || isConstEnum) {
      const { line } = file.getLineAndCharacterOfPosition(node.getStart())
      found.push(`${relative(root, path)}:${line + 1}`)
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

it('no declaration says any or const enum', () => {
  const paths = [...declarations(join(root, 'dist')), join(root, 'native.d.ts')]
  expect(paths.length).toBeGreaterThan(2)
  expect(paths.flatMap((path) => loose(path, readFileSync(path, 'utf8')))).toEqual([])
})

it('the search for any and const enum finds them', () => {
  const bad =
    '// any\nexport function f(a: any): void\nexport const enum E { A }\nexport declare const any: 1'
  expect(loose(join(root, 'bad.d.ts'), bad)).toEqual(['bad.d.ts:2', 'bad.d.ts:3'])
})
