import { hostname } from 'node:os'
import { type CommandOutcome, commandText, runCommand } from './command.js'
import type { Chain, IStorage, JsonObject, SessionId, Step, StepUpdate } from './index.js'

/** A pause before a failed command is tried again: trying at once meets the same trouble. */
const RETRY_PAUSE_MS = 300
/** Limits of a step's texts, in code points. */
const ACTION_LIMIT = 500
const ERROR_LIMIT = 2000
/** Of an attempt that was followed by another one, so much output is kept (characters), and of so many attempts. */
const EARLIER_OUTPUT_LIMIT = 8 * 1024
const EARLIER_LIMIT = 8

/** One command of a recording: one step of the chain. */
export interface RecordedCommand {
  /** A list is run as it stands, without a shell; a text is given to the shell. */
  readonly run: string | readonly string[]
  /** The step's name; by default the command itself. */
  readonly action?: string
  /** How often a failed command is tried again; 0 by default. */
  readonly retries?: number
  /** Positions (from 0) of earlier commands that must complete first. If one of them does not, this one is skipped. */
  readonly waitsFor?: readonly number[]
}

/** What `recordChain` is to run and record. */
export interface Recording {
  readonly title: string
  readonly commands: readonly RecordedCommand[]
  /** The working directory of the commands; by default the one of this process. */
  readonly cwd?: string
  /** How many commands may run at once; 1 by default. */
  readonly concurrency?: number
  readonly metadata?: JsonObject
  /** Aborting it fails the running steps with `interrupted` and skips the rest; the chain is still returned. */
  readonly signal?: AbortSignal
  /** Called after each stored change of a step. */
  readonly onStep?: (step: Step) => void
}

/** A chain as it stands after its last step. */
export interface Recorded {
  readonly chain: Chain
  readonly steps: readonly Step[]
}

/**
 * Runs commands and records them as one chain: every command a step, with its output, exit code and duration as `result`.
 *
 * *Order.* All steps are stored first, so that a viewer sees what is to come; then they run in their order, as far as
 * `waitsFor` and `concurrency` allow. The chain's own status follows from its steps in the storage.
 *
 * *Errors.* A failing command is recorded, not thrown. A failing storage is thrown, after the running commands were ended.
 *
 * @example
 * await recordChain(storage, session.sessionId, {
 *   title: 'Release check',
 *   commands: [{ run: ['npm', 'ci'], retries: 1 }, { run: 'npm test | tail -n 20', waitsFor: [0] }],
 * })
 */
export async function recordChain(
  storage: IStorage,
  sessionId: SessionId | string,
  recording: Recording,
): Promise<Recorded> {
  check(recording)
  const { chainId } = await storage.createChain(sessionId, {
    title: recording.title,
    source: 'flow',
    metadata: { ...recording.metadata, recorder: { host: hostname(), pid: process.pid } },
  })
  const steps: Step[] = []
  for (const command of recording.commands) {
    const step = await storage.createStep(chainId, {
      action: clip(command.action ?? commandText(command.run), ACTION_LIMIT),
      inputs: { command: commandText(command.run), cwd: recording.cwd ?? process.cwd() },
      waitsFor: (command.waitsFor ?? []).flatMap((index) => steps[index]?.stepId ?? []),
    })
    steps.push(step)
    recording.onStep?.(step)
  }
  await new Run(storage, recording, steps).all()
  const chain = await storage.getChain(chainId)
  if (chain === null) throw new Error('the chain was deleted while it was recorded')
  return { chain, steps: await storage.listSteps(chainId) }
}

function check({ commands, concurrency = 1 }: Recording): void {
  if (commands.length === 0) throw new TypeError('a recording needs at least one command')
  if (!Number.isInteger(concurrency) || concurrency < 1)
    throw new TypeError('concurrency must be a whole number from 1')
  commands.forEach(({ run, retries = 0, waitsFor = [] }, index) => {
    if (run.length === 0 || run[0] === '') throw new TypeError(`command ${index} is empty`)
    if (!Number.isInteger(retries) || retries < 0)
      throw new TypeError(`command ${index}: retries must be a whole number from 0`)
    if (waitsFor.some((other) => !Number.isInteger(other) || other < 0 || other >= index)) {
      throw new TypeError(`command ${index} may only wait for earlier ones`)
    }
  })
}

/** One recording under way. */
class Run {
  readonly #storage: IStorage
  readonly #recording: Recording
  readonly #steps: readonly Step[]
  /** Aborted by the caller, or by a storage that failed. */
  readonly #stop = new AbortController()
  /** Whether the step at a position completed; absent while that is open. */
  readonly #verdicts = new Map<number, boolean>()

  constructor(storage: IStorage, recording: Recording, steps: readonly Step[]) {
    this.#storage = storage
    this.#recording = recording
    this.#steps = steps
  }

  async all(): Promise<void> {
    const { signal } = this.#recording
    const onAbort = () => this.#stop.abort()
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted) onAbort()
    const running = new Set<Promise<void>>()
    try {
      const pending = new Set(this.#steps.keys())
      do {
        await this.#startReady(pending, running)
        if (running.size > 0) await Promise.race(running)
      } while (pending.size > 0 || running.size > 0)
    } finally {
      signal?.removeEventListener('abort', onAbort)
      this.#stop.abort()
      await Promise.allSettled(running)
    }
  }

  /** Starts what may start now and skips what never will. What a command waits for stands before it, so one pass is enough. */
  async #startReady(pending: Set<number>, running: Set<Promise<void>>): Promise<void> {
    for (const index of pending) {
      const verdicts = (this.#recording.commands[index]?.waitsFor ?? []).map((other) =>
        this.#verdicts.get(other),
      )
      if (this.#stop.signal.aborted || verdicts.includes(false)) {
        pending.delete(index)
        this.#verdicts.set(index, false)
        await this.#update(index, { status: 'skipped' })
      } else if (running.size < (this.#recording.concurrency ?? 1) && !verdicts.includes(undefined)) {
        pending.delete(index)
        const task = this.#step(index)
          .then((completed) => void this.#verdicts.set(index, completed))
          .finally(() => running.delete(task))
        // The race in `all` hears of a failure too; this only keeps a second one from being unhandled.
        task.catch(() => {})
        running.add(task)
      }
    }
  }

  /** Runs one command until it succeeds, or has no attempt left. */
  async #step(index: number): Promise<boolean> {
    const { run = '', retries = 0 } = this.#recording.commands[index] ?? {}
    const { signal } = this.#stop
    const earlier: JsonObject[] = []
    for (let attempt = 1; ; attempt += 1) {
      await this.#update(index, { status: 'in_progress' })
      const outcome = await runCommand(run, { cwd: this.#recording.cwd, signal })
      const result = { ...measured(outcome), ...(earlier.length > 0 && { earlier: [...earlier] }) }
      if (outcome.failure === null) {
        await this.#update(index, { status: 'completed', result })
        return true
      }
      await this.#update(index, { status: 'failed', error: explain(outcome), result })
      if (attempt > retries) return false
      const { setTimeout: sleep } = process.getBuiltinModule('node:timers/promises')
      await sleep(RETRY_PAUSE_MS, undefined, { signal }).catch(() => {})
      if (signal.aborted) return false
      earlier.push({ ...measured(outcome), output: ending(outcome.output, EARLIER_OUTPUT_LIMIT) })
      if (earlier.length > EARLIER_LIMIT) earlier.shift()
    }
  }

  async #update(index: number, update: StepUpdate): Promise<void> {
    const step = await this.#storage.updateStep(this.#steps[index]?.stepId ?? '', update)
    this.#recording.onStep?.(step)
  }
}

function measured({ exitCode, durationMs, output, truncated }: CommandOutcome) {
  return { exitCode, durationMs, output, truncated }
}

/** The reason and the last line of output, which usually says more. */
function explain({ failure, output }: CommandOutcome): string {
  const last = output.trimEnd().split('\n').at(-1)?.trim() ?? ''
  return clip(last === '' ? `${failure}` : `${failure}: ${last}`, ERROR_LIMIT)
}

function clip(text: string, codePoints: number): string {
  const points = [...text]
  return points.length <= codePoints ? text : `${points.slice(0, codePoints - 1).join('')}…`
}

/** The last characters of a text. A cut between two halves of one character drops the second half as well. */
function ending(text: string, characters: number): string {
  return text.slice(-characters).replace(/^[\uDC00-\uDFFF]/, '')
}
