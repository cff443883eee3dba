// Packs what is published: the root package and one package per platform binary. The checkout stays as it is;
// everything is put together in a temporary copy.
//   node scripts/pack.mjs [--into folder] [--addons folder]
// Without --addons the binary of this machine is built, and only its platform package is packed.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { buildShipped, buildTypescript, installPackages, shippedFolder } from './prepare.mjs'
import { must, npm, root, runMain, Stop } from './system.mjs'

const licences = ['LICENSE-MIT', 'LICENSE-APACHE']

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))
const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)

/** `flowkeep.linux-x64-gnu.node` -> `linux-x64-gnu` */
const platformOf = (name) => /^flowkeep\.(.+)\.node$/.exec(name)?.[1]

function binariesIn(folder) {
  const found = readdirSync(folder).filter(platformOf)
  if (found.length === 0) throw new Stop(`no flowkeep.*.node in ${folder}`)
  return found.map((name) => ({ name, platform: platformOf(name), path: join(folder, name) }))
}

/** What a user's package.json needs to know; the rest is for this checkout. */
function published({ scripts, devDependencies, overrides, napi, ...manifest }, platforms) {
  const version = manifest.version
  const names = platforms.map(({ platform }) => [`${manifest.name}-${platform}`, version])
  return { ...manifest, optionalDependencies: Object.fromEntries(names) }
}

/** Packs into the folder `into`; the paths of the tarballs: `{ main, platforms }`. */
export async function pack({ into, addons, profile = 'release', quiet = false }) {
  if (!addons) await buildShipped({ profile, quiet })
  const binaries = binariesIn(addons ?? shippedFolder)
  const manifest = readJson(join(root, 'package.json'))
  const missing = manifest.napi.targets.length - binaries.length
  if (addons && missing !== 0)
    throw new Stop(`${missing} of the targets in package.json have no binary in ${addons}`)

  const stage = mkdtempSync(join(tmpdir(), 'flowkeep-pack-'))
  try {
    writeJson(join(stage, 'package.json'), manifest)
    for (const name of manifest.files) cpSync(join(root, name), join(stage, name), { recursive: true })
    const napi = join(root, 'node_modules/@napi-rs/cli/dist/cli.js')
    await must(process.execPath, [napi, 'create-npm-dirs', '--cwd', stage], { stdio: 'ignore' })
    const folders = binaries.map(({ name, platform, path }) => {
      const folder = join(stage, 'npm', platform)
      cpSync(path, join(folder, name))
      for (const licence of licences) cpSync(join(root, licence), join(folder, licence))
      const own = readJson(join(folder, 'package.json'))
      writeJson(join(folder, 'package.json'), { ...own, files: [...own.files, ...licences] })
      return folder
    })
    writeJson(join(stage, 'package.json'), published(manifest, binaries))

    mkdirSync(into, { recursive: true })
    const stdio = quiet ? 'ignore' : 'inherit'
    for (const folder of [stage, ...folders]) {
      await must(...npm('pack', '--ignore-scripts', '--pack-destination', resolve(into)), {
        cwd: folder,
        stdio,
      })
    }
    const tarball = (name) => join(resolve(into), `${name}-${manifest.version}.tgz`)
    return {
      main: tarball(manifest.name),
      platforms: binaries.map(({ platform }) => tarball(`${manifest.name}-${platform}`)),
    }
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename) {
  await runMain(async () => {
    const { values } = parseArgs({ options: { into: { type: 'string' }, addons: { type: 'string' } } })
    await installPackages()
    await buildTypescript()
    const { main, platforms } = await pack({ into: values.into ?? 'packages', addons: values.addons })
    console.log([main, ...platforms].join('\n'))
  })
}
