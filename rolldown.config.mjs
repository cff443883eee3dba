// What the package is entered by: each becomes one file of dist/, since every further file would be looked for, read and compiled
// at each start. `npm run build:ts` runs this behind tsc, which checks the types and writes the declarations.
const entries = ['index', 'cli', 'sse', 'zod/index']

export default entries.map((entry) => ({
  input: `js/${entry}.ts`,
  platform: 'node',
  // The addon and the optional peer; and where the command is concerned the package itself, so that there is one of each class.
  external: [/^node:/, /native\.js$/, 'zod', ...(entry === 'cli' ? ['./index.js'] : [])],
  resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
  output: { file: `dist/${entry}.js`, format: 'cjs' },
}))
