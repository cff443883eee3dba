// The command line: `flowkeep record`.
import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Backend, type Chain, clean, type List, ROOT, type Session, type Step } from './dashboard/backend.js'
import { redisUrl } from './support/redis.js'

describe('the command line', () => {
  const CLI = join(ROOT, 'dist/cli.js')
  const run = (args: string[], options: { env?: Record<string, string>; interruptAfterMs?: number } = {}) =>
    new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
      const child = execFile(
        process.execPath,
        [CLI, ...args],
        { env: { ...clean(process.env), ...options.env }, cwd: tmpdir() },
        (_error, out, err) => resolve({ code: child.exitCode, out, err }),
      )
      if (options.interruptAfterMs !== undefined)
        setTimeout(() => child.kill('SIGINT'), options.interruptAfterMs)
    })
  const node = (code: string) => ['--', 'node', '-e', code]

  it('records commands and prints what memory can’t keep', async () => {
    const { code, out, err } = await run([
      'record',
      '--title',
      'T',
      '--user',
      'me',
      ...node('console.log("hi  there")'),
      ...node(''),
    ])
    expect(code).toBe(0)
    expect(err).toContain('nothing outlives this process')
    const { session, chain, steps } = JSON.parse(out) as { session: Session; chain: Chain; steps: Step[] }
    expect(session).toMatchObject({ userId: 'me', title: 'T' })
    expect(chain).toMatchObject({ title: 'T', status: 'completed', stepCounts: { total: 2, completed: 2 } })
    expect(steps.map((step) => step.result?.output)).toEqual(['hi  there\n', ''])
  })

  it('ends with 1 after a failure and skips what follows', async () => {
    const { code, out, err } = await run([
      'record',
      '--title',
      'T',
      ...node('console.error("no disk"); process.exit(3)'),
      ...node(''),
    ])
    expect(code).toBe(1)
    const { steps } = JSON.parse(out) as { steps: Step[] }
    expect(steps).toMatchObject([
      { status: 'failed', error: 'exit code 3: no disk', result: { exitCode: 3 } },
      { status: 'skipped' },
    ])
    expect(err).toContain('failed: 0 of 2 steps completed')
  })

  it('goes on with --keep-going, tries again with --retries, and records a command that does not exist', async () => {
    const { code, out } = await run([
      'record',
      '--title',
      'T',
      '--keep-going',
      '--retries',
      '1',
      '--',
      'no-such-command-here',
      ...node(''),
    ])
    expect(code).toBe(1)
    const { steps } = JSON.parse(out) as { steps: Step[] }
    expect(steps).toMatchObject([
      { status: 'failed', attempt: 2, result: { exitCode: null } },
      { status: 'completed' },
    ])
    expect(steps[0]?.error).toContain('no-such-command-here')
  })

  it('retries the only step of a chain', async () => {
    const file = join(tmpdir(), `flowkeep-${process.pid}-${Date.now()}`)
    const script = `const fs=require('fs');if(!fs.existsSync(${JSON.stringify(file)})){fs.writeFileSync(${JSON.stringify(file)},'');process.exit(1)}`
    const { code, out } = await run(['record', '--title', 'T', '--retries', '2', ...node(script)])
    await rm(file)
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      chain: { status: 'completed' },
      steps: [{ status: 'completed', attempt: 2 }],
    })
  })

  it('keeps the end of a long output', async () => {
    const { out } = await run([
      'record',
      '--title',
      'T',
      ...node('for(let i=0;i<20000;i++)console.log("liné "+i)'),
    ])
    const { steps } = JSON.parse(out) as { steps: { result: { output: string; truncated: boolean } }[] }
    const { output = '', truncated } = steps[0]?.result ?? {}
    expect(truncated).toBe(true)
    expect(Buffer.byteLength(output)).toBeLessThanOrEqual(64 * 1024)
    expect(output.endsWith('liné 19999\n')).toBe(true)
    expect(output).not.toContain('\uFFFD')
  })

  it('an interruption fails the running step and skips the rest', async () => {
    const { code, out } = await run(
      ['record', '--title', 'T', ...node('setTimeout(()=>{},60000)'), ...node('')],
      { interruptAfterMs: 800 },
    )
    expect(code).toBe(130)
    const { steps } = JSON.parse(out) as { steps: Step[] }
    expect(steps).toMatchObject([{ status: 'failed', error: 'interrupted' }, { status: 'skipped' }])
  })

  it.each<[string, string[], string]>([
    ['an unknown command', ['recrod'], 'unknown command'],
    ['no title', ['record', '--', 'ls'], '--title'],
    ['no command', ['record', '--title', 'T'], 'a command is missing'],
    ['an empty command', ['record', '--title', 'T', '--', 'ls', '--'], 'a command is missing'],
    ['an unknown option', ['record', '--title', 'T', '--colour', '--', 'ls'], '--colour'],
    ['bad retries', ['record', '--title', 'T', '--retries', 'x', '--', 'ls'], '--retries'],
  ])('%s is wrong usage', async (_name, args, text) => {
    const { code, out, err } = await run(args)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain(text)
  })

  it('knows --help and --version', async () => {
    expect(await run(['--help'])).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringContaining('flowkeep record --title'),
    })
    expect((await run(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('records into Redis, into a given session', async () => {
    const env = { NODE_ENV: 'production', REDIS_URL: redisUrl() }
    const user = `max-${process.pid}-${Date.now()}`
    const first = await run(['record', '--title', 'One', '--user', user, ...node('')], { env })
    expect(first.out).toMatch(/^chn_\w+\n$/)
    const backend = await Backend.start(env)
    try {
      const [session] = (await backend.get<List<Session>>(`/api/users/${user}/sessions`)).items
      const second = await run(
        ['record', '--title', 'Two', '--session', session?.sessionId ?? '', ...node('')],
        { env },
      )
      expect(second.code).toBe(0)
      const { items } = await backend.get<List<Chain>>(`/api/sessions/${session?.sessionId}/chains`)
      expect(items.map((chain) => `${chain.title} ${chain.status}`)).toEqual([
        'One completed',
        'Two completed',
      ])
    } finally {
      await backend.stop()
    }
  })
})
