#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type IStorage, openStorage, recordChain, type Session, type Step, StorageError } from './index.js'
import type { Recorded } from './recorder.js'

const HELP = `flowkeep: records commands as a chain of steps

Usage
  flowkeep record --title <text> [options] -- <command> [-- <command> ...]

Each "--" begins a new command. A command is run as it stands, without a shell; for pipes and variables
write  -- sh -c 'git log | head'. A command that needs a "--" of its own goes through sh -c as well.

Options
  --title <text>     what the chain is called
  --user <id>        whose session it is (default: your user name; the example dashboard shows "demo")
  --session <id>     record into this session instead of a new one
  --retries <n>      try a failed command again, up to n times (default 0)
  --keep-going       run the remaining commands after a failure instead of skipping them
  --help, --version

Storage
  NODE_ENV=production REDIS_URL=redis://...   records into Redis
  otherwise                                   into memory: nothing outlives the process, so the chain is printed as JSON

Exit code: 0 all steps completed, 1 a step or the storage failed, 2 wrong usage, 130 interrupted`

/** How a status is shown: a shape and, after the first columns, the reason in words. */
const MARKS = { pending: '·', in_progress: '▸', completed: '✓', failed: '✗', skipped: '-' } as const

class UsageError extends Error {}

interface Arguments {
  readonly title: string
  readonly user: string
  readonly session: string | undefined
  readonly retries: number
  readonly keepGoing: boolean
  readonly commands: readonly (readonly string[])[]
}

async function main(argv: readonly string[]): Promise<number> {
  const first = argv[0]
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') return say(HELP)
  if (first === '--version' || first === '-v') return say(version())
  if (first !== 'record') throw new UsageError(`unknown command "${first}"`)
  const options = argv.slice(1)
  const end = options.indexOf('--')
  if (options.slice(0, end < 0 ? undefined : end).some((word) => word === '--help' || word === '-h'))
    return say(HELP)
  return record(parse(options))
}

async function record(args: Arguments): Promise<number> {
  const interruption = new AbortController()
  const onSignal = () => interruption.abort()
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  const storage = await openStorage({ logger: { info: note } })
  try {
    const { backend } = await storage.status()
    if (backend === 'memory') note('memory storage: nothing outlives this process')
    const session = await findSession(storage, args)
    const recorded = await recordChain(storage, session.sessionId, {
      title: args.title,
      commands: args.commands.map((run, index) => ({
        run,
        retries: args.retries,
        waitsFor: index > 0 && !args.keepGoing ? [index - 1] : [],
      })),
      signal: interruption.signal,
      onStep: progress,
    })
    summarise(recorded)
    say(backend === 'memory' ? JSON.stringify({ session, ...recorded }, null, 2) : recorded.chain.chainId)
    if (interruption.signal.aborted) return 130
    return recorded.steps.every((step) => step.status === 'completed') ? 0 : 1
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    await storage.close()
  }
}

async function findSession(storage: IStorage, { session, user, title }: Arguments): Promise<Session> {
  if (session === undefined) return storage.createSession(user, { title, tags: ['recorded'] })
  const found = await storage.getSession(session)
  if (found === null) throw new UsageError(`there is no session ${session}`)
  return found
}

function parse(argv: readonly string[]): Arguments {
  const end = argv.indexOf('--')
  const values = parseOptions(argv.slice(0, end < 0 ? undefined : end))
  if (!values.title) throw new UsageError('--title is missing')
  const commands = end < 0 ? [] : split(argv.slice(end + 1))
  if (commands.length === 0 || commands.some((words) => !words[0]))
    throw new UsageError('a command is missing after "--"')
  const retries = Number(values.retries ?? 0)
  if (!Number.isInteger(retries) || retries < 0) throw new UsageError('--retries takes a whole number from 0')
  return {
    title: values.title,
    user: values.user ?? process.env.USER ?? process.env.USERNAME ?? 'cli',
    session: values.session,
    retries,
    keepGoing: values['keep-going'] ?? false,
    commands,
  }
}

function parseOptions(args: string[]) {
  const text = { type: 'string' } as const
  try {
    const options = {
      title: text,
      user: text,
      session: text,
      retries: text,
      'keep-going': { type: 'boolean' },
    } as const
    return parseArgs({ args, options }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function split(words: readonly string[]): string[][] {
  const commands: string[][] = [[]]
  for (const word of words) {
    if (word === '--') commands.push([])
    else commands.at(-1)?.push(word)
  }
  return commands
}

function progress(step: Step): void {
  if (step.status === 'pending') return
  const took =
    step.completedAt && step.startedAt ? `  ${step.completedAt.getTime() - step.startedAt.getTime()} ms` : ''
  const attempt = step.attempt > 1 ? `  attempt ${step.attempt}` : ''
  const reason = step.error ? `  ${step.error}` : ''
  note(`${MARKS[step.status]} ${step.stepNumber}  ${step.action}${attempt}${took}${reason}`)
}

function summarise({ chain, steps }: Recorded): void {
  const completed = steps.filter((step) => step.status === 'completed').length
  note(`${chain.status}: ${completed} of ${steps.length} steps completed`)
}

function version(): string {
  const text = readFileSync(join(__dirname, '..', 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function say(text: string): 0 {
  process.stdout.write(`${text}\n`)
  return 0
}

/** Progress goes to standard error, so that standard output holds the result alone. */
function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    if (error instanceof UsageError) {
      note(`flowkeep: ${error.message}\nTry "flowkeep --help".`)
      process.exitCode = 2
      return
    }
    note(`flowkeep: ${error instanceof StorageError ? `${error.code}: ${error.message}` : String(error)}`)
    process.exitCode = 1
  },
)
