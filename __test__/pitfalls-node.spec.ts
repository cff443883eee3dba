// Mistakes of addons that no other test names: see pitfalls.spec.ts.
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import config from '../vitest.config.mjs'

const root = join(__dirname, '..')
const run = promisify(execFile)

it('two copies of the package share nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flowkeep-copy-'))
  try {
    const binary = readdirSync(root).filter((name) => name.endsWith('.node'))
    for (const name of ['dist', 'native.js', 'package.json', ...binary]) {
      cpSync(join(root, name), join(folder, name), { recursive: true })
    }
    const [one, other] = [root, folder].map((place) =>
      createRequire(join(place, 'package.json'))('./dist/index.js'),
    ) as typeof import('flowkeep')[]
    expect(one?.MemoryStorage).not.toBe(other?.MemoryStorage)
    const [here, there] = [one, other].map((copy) => new (copy as typeof import('flowkeep')).MemoryStorage())
    const session = await here?.createSession('ada', { title: 'here' })
    expect(await there?.getSession(session?.sessionId ?? '')).toBeNull()
    const waiting = here?.queue.pop('q', { timeoutSeconds: 20 })
    await there?.queue.push('q', 'there')
    await there?.close()
    await here?.queue.push('q', 'here')
    expect(await waiting).toBe('here')
    await here?.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

it('memory stays where it is, whether calls succeed or fail', { timeout: 120_000 }, async () => {
  const program = `
    const { MemoryStorage } = require(${JSON.stringify(join(root, 'dist/index.js'))})
    const storage = new MemoryStorage()
    const round = async () => {
      for (let n = 0; n < 200; n++) {
        await Promise.allSettled(Array.from({ length: 100 }, (_, i) => [
          () => storage.getSession('ses_00000000000000000000'),
          () => storage.updateSession('ses_00000000000000000000', { title: 'x' }),
          () => storage.createSession('', {}),
          () => storage.createChain('nonsense', {}),
          () => storage.kv.set('k' + i, 'v'),
          () => storage.queue.pop('none', { timeoutSeconds: 0 }),
          () => storage.queue.pop('none', { signal: AbortSignal.abort() }),
          () => storage.cache.getOrSet('k', () => { throw new Error('no') }),
        ][i % 8]()))
      }
      gc()
      return process.memoryUsage().rss
    }
    ;(async () => {
      for (let n = 0; n < 3; n++) await round()
      const before = await round()
      for (let n = 0; n < 4; n++) await round()
      console.log((await round()) - before)
      await storage.close()
    })()`
  const { stdout } = await run(process.execPath, ['--expose-gc', '-e', program])
  // 100,000 calls: 100 bytes kept of each would be 10 MB.
  expect(Number(stdout)).toBeLessThan(32 * 1024 * 1024)
})

it('test files have processes of their own', () => {
  expect(config.test?.pool).toBe('forks')
})
