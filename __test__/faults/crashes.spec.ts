// The process dies, or its disk is full, while its server is away: what was acknowledged is brought by the next one.
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { uniquePrefix } from '../support/redis.js'
import { until } from '../support/until.js'
import { raw } from './counted.js'
import { expectStored, type Write } from './ledger.js'
import { ends, isHealthy, LONG, measured, much, onStage, opened, ownServer, pause, proxied } from './stage.js'

onStage()

const script = join(import.meta.dirname, 'kept-worker.mjs')

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'flowkeep-kept-'))
  ends.push(() => rmSync(made, { recursive: true, force: true }))
  return made
}

interface Told {
  readonly id: string
  readonly n: number
  readonly fate: Write['fate']
}

/** A process of the script's; what it told is kept, whatever becomes of it. */
class Life {
  readonly told: Told[] = []
  private readonly words: unknown[] = []
  private readonly child: ChildProcess
  private readonly gone: Promise<unknown>

  constructor(args: readonly string[], within: readonly string[] = []) {
    const [program, ...before] = within
    const exec = program === undefined ? {} : { execPath: program, execArgv: [...before, process.execPath] }
    this.child = fork(script, args, { ...exec, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.gone = once(this.child, 'exit')
    this.child.on('message', (message) => {
      if (typeof message === 'object' && 'n' in message) this.told.push(message as Told)
      else this.words.push(message)
    })
    ends.push(() => this.kill())
  }

  async hears(word: string): Promise<void> {
    await until(() => this.words.includes(word) || this.child.exitCode !== null, `it says ${word}`, 30_000)
    if (!this.words.includes(word)) throw new Error(`it ended with ${this.child.exitCode} by itself`)
  }

  async does(task: string, args: object): Promise<void> {
    await this.hears('open')
    this.child.send({ task, args })
    await this.hears('ready')
  }

  async answer(): Promise<Record<string, unknown>> {
    await this.gone
    return this.words.at(-1) as Record<string, unknown>
  }

  /** Ends the process at once. */
  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL')
    await this.gone
    expect(this.child.exitCode, 'it did not end by itself').not.toBe(1)
  }
}

/** Sessions, a proxy in front of their server, and what writers were told. */
async function scene(sessions: number) {
  const server = await ownServer()
  const proxy = await proxied(server, 11)
  const prefix = uniquePrefix()
  const path = join(folder(), 'kept.journal')
  const storage = await opened(server.url, prefix)
  const books = new Map<string, Write[]>()
  for (let at = 0; at < sessions; at++) books.set((await storage.createSession('ann', {})).sessionId, [])
  let told = 0
  const note = (life: Life) => {
    for (const { id, n, fate } of life.told) books.get(id)?.push({ n, fate, ms: 0 })
    told += life.told.length
  }
  const cut = () => {
    proxy.trouble = { refuse: true }
    proxy.reset()
  }
  const heal = (trouble = {}) => {
    proxy.trouble = trouble
  }
  const check = async () => {
    heal()
    const last = await opened(proxy.url, prefix, { journal: { path } })
    await isHealthy(last)
    expect((await last.status()).journal).toMatchObject({ entries: 0 })
    expect(await last.conflicts()).toEqual([])
    for (const [sessionId, writes] of books) {
      writes.sort((a, b) => a.n - b.n)
      await expectStored(server.url, prefix, sessionId, writes)
    }
    return [...books.values()].flat().filter(({ fate }) => fate === 'ok' || fate === 'pending').length
  }
  const args = [proxy.url, prefix, path]
  return { args, path, proxy, ids: [...books.keys()], note, cut, heal, check, next: () => told }
}

it(
  'crash while degraded: nothing that was acknowledged is lost, nothing is there twice',
  async () => {
    const { args, ids, note, cut, heal, check } = await scene(5)
    for (let crash = 0; crash < much(50, 4); crash++) {
      heal()
      const life = new Life(args)
      await life.does('write', { sessionIds: ids, from: crash * 1_000_000 })
      await until(() => life.told.length > 5, 'it writes')
      cut()
      const pending = () => life.told.filter(({ fate }) => fate === 'pending').length
      await until(() => pending() > 20 + crash * 3, 'it keeps writes', 30_000)
      await life.kill()
      note(life)
    }
    const accepted = await check()
    expect(accepted).toBeGreaterThan(much(50, 4) * 20)
    measured('crash while degraded', { crashes: much(50, 4), acknowledged: accepted })
  },
  LONG,
)

it(
  'crash while draining: each entry is applied once',
  async () => {
    const { args, path, ids, note, cut, heal, check } = await scene(5)
    const life = new Life(args)
    await life.does('write', { sessionIds: ids, from: 0 })
    cut()
    const kept = () => life.told.filter(({ fate }) => fate === 'pending').length
    await until(() => kept() > much(8_000, 1_500), 'it keeps writes', 60_000)
    await life.kill()
    note(life)
    let rounds = 0
    for (let crash = 0; crash < much(50, 5); crash++) {
      // A narrow line: what is kept takes longer than a life.
      heal({ bytesPerSecond: 100_000 })
      const next = new Life(args)
      await next.does('bring', {})
      await pause(20 + (crash % 10) * 15)
      await next.kill()
      rounds++
    }
    expect(statSync(path).size).toBeGreaterThan(100)
    measured('crash while draining', { crashes: rounds, kept: await check() })
  },
  LONG,
)

it(
  'crash while degraded and while draining: pushes and additions that were acknowledged are there once and in order',
  async () => {
    const server = await ownServer()
    const proxy = await proxied(server, 13)
    const [prefix, path] = [uniquePrefix(), join(folder(), 'kept.journal')]
    const args = [proxy.url, prefix, path]
    const count = 1_000
    proxy.trouble = { refuse: true }
    const acknowledged: number[] = []
    for (let crash = 0; crash < 4; crash++) {
      const life = new Life(args)
      await life.does('push', { from: crash * count, count })
      await until(() => life.told.length >= count / 4, 'it keeps pushes', 60_000)
      await life.kill()
      acknowledged.push(...life.told.map(({ n }) => n))
    }
    for (let crash = 0; crash < much(50, 5); crash++) {
      // A narrow line: what is kept takes longer than a life.
      proxy.trouble = { bytesPerSecond: 40_000 }
      const next = new Life(args)
      await next.does('bring', {})
      await pause(20 + (crash % 10) * 15)
      await next.kill()
    }
    proxy.trouble = {}
    const last = await opened(proxy.url, prefix, { journal: { path } })
    await isHealthy(last)
    expect(await last.conflicts()).toEqual([])
    await raw(server.url, async (client) => {
      const items = (await client.call('LRANGE', `${prefix}queue:kept`, '0', '-1')) as string[]
      const entries = (await client.call('XRANGE', `${prefix}stream:kept`, '-', '+')) as [string, string[]][]
      const pushed = items.map((item) => (JSON.parse(item) as { n: number }).n).reverse()
      const added = entries.map(([, fields]) => Number(fields[1]))
      for (const stored of [pushed, added]) {
        // What was kept and not yet acknowledged may be there too.
        expect(stored).toEqual([...new Set(stored)].sort((a, b) => a - b))
        const there = new Set(stored)
        expect(acknowledged.filter((n) => !there.has(n))).toEqual([])
      }
    })
    measured('pushes, crash while degraded and draining', { acknowledged: acknowledged.length })
  },
  LONG,
)

/** A command that gives what is behind it a disk of few bytes: a small tmpfs where that may be made, else a bound for files. */
function small(place: string): string[] {
  const mounted = ['unshare', '-rm', 'sh', '-c', 'mount -t tmpfs -o size=96k none "$0" && exec "$@"', place]
  try {
    execFileSync(mounted[0] as string, [...mounted.slice(1), 'true'], { stdio: 'ignore' })
    return mounted
  } catch {
    return ['sh', '-c', 'trap "" XFSZ; ulimit -f 192; exec "$@"', 'sh']
  }
}

it(
  'a full disk: what does not fit is not acknowledged, and what was is brought',
  async () => {
    const server = await ownServer()
    const prefix = uniquePrefix()
    const [place, safe] = [folder(), folder()]
    const storage = await opened(server.url, prefix)
    const { sessionId } = await storage.createSession('ann', {})
    await storage.close()
    const copy = join(safe, 'kept.journal')
    const life = new Life([server.url, prefix, join(place, 'kept.journal')], small(place))
    await life.does('fill', { sessionId, copy })
    await server.kill()
    const { fates, failed, told } = await life.answer()
    const seen = fates as string[]
    const kept = seen.filter((fate) => fate === 'pending').length
    expect(kept).toBeGreaterThan(20)
    expect(seen.slice(kept)).toEqual([
      'STORAGE_UNAVAILABLE unknown',
      'STORAGE_UNAVAILABLE not-applied',
      'STORAGE_UNAVAILABLE not-applied',
    ])
    expect(told).toEqual([expect.stringContaining('nothing more is kept')])
    expect(failed).toMatch(/space|large|big/i)
    await server.start()
    const next = await opened(server.url, prefix, { journal: { path: copy } })
    await isHealthy(next)
    const writes = seen.map((fate, n) => ({
      n,
      fate: (fate.split(' ').at(-1) ?? '') as Write['fate'],
      ms: 0,
    }))
    await expectStored(server.url, prefix, sessionId, writes)
    expect(readdirSync(safe).sort()).toEqual(['kept.journal', 'kept.journal.lock'])
    expect(existsSync(copy)).toBe(true)
  },
  LONG,
)
