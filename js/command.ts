import type { ChildProcess } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'

/** Bytes of output kept of one command: the tail, because that is where a failure says its reason. */
export const OUTPUT_LIMIT = 64 * 1024
/** How long an interrupted command may take to end by itself. */
const KILL_AFTER_MS = 300
/** How long output may still arrive after the exit: a daemon left behind can hold the pipe open for ever. */
const DRAIN_MS = 250

/** What a command left behind. */
export interface CommandOutcome {
  /** `null` when it was ended by a signal, or could not be started. */
  readonly exitCode: number | null
  readonly durationMs: number
  /** Standard output and standard error in the order of their arrival, without colour codes. */
  readonly output: string
  /** True when more than `OUTPUT_LIMIT` bytes came and the beginning was dropped. */
  readonly truncated: boolean
  /** Why it counts as failed, in a few words; `null` when it ended with code 0. */
  readonly failure: string | null
}

/**
 * Runs one command to its end and never rejects: a command that can't be started is an outcome too.
 *
 * A list is run as it stands, without a shell; a text is given to the shell. Aborting the signal ends the command
 * together with what it started.
 */
export function runCommand(
  run: string | readonly string[],
  options: { cwd?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<CommandOutcome> {
  return new Promise((resolve) => {
    const started = performance.now()
    const tail = new Tail()
    let drain: NodeJS.Timeout | undefined
    let child: ChildProcess | undefined
    const onAbort = () => child && stop(child)
    const finish = (exitCode: number | null, failure: string | null) => {
      clearTimeout(drain)
      options.signal?.removeEventListener('abort', onAbort)
      child?.stdout?.destroy()
      child?.stderr?.destroy()
      resolve({
        exitCode,
        durationMs: Math.round(performance.now() - started),
        output: tail.text(),
        truncated: tail.truncated,
        failure: options.signal?.aborted ? 'interrupted' : failure,
      })
    }
    try {
      child = start(run, options.cwd)
    } catch (error) {
      return finish(null, `could not start: ${(error as Error).message}`)
    }
    child.stdout?.on('data', (chunk: Buffer) => tail.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => tail.push(chunk))
    child.on('error', (error) => finish(null, `could not start: ${error.message}`))
    child.on('exit', (code, signal) => {
      drain = setTimeout(() => finish(code, reason(code, signal)), DRAIN_MS)
    })
    child.on('close', (code, signal) => finish(code, reason(code, signal)))
    options.signal?.addEventListener('abort', onAbort, { once: true })
    if (options.signal?.aborted) onAbort()
  })
}

/** The command as a person would type it. */
export function commandText(run: string | readonly string[]): string {
  if (typeof run === 'string') return run
  return run
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ')
}

/** A process group of its own lets an interruption reach grandchildren too. Windows knows no such groups. */
const GROUPED = process.platform !== 'win32'

function start(run: string | readonly string[], cwd: string | undefined): ChildProcess {
  const options = {
    stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'],
    detached: GROUPED,
    windowsHide: true,
    cwd,
  }
  // Loaded when it is needed: few who load the package run a command by it.
  const { spawn } = process.getBuiltinModule('node:child_process')
  if (typeof run === 'string') return spawn(run, { ...options, shell: true })
  const [file = '', ...args] = run
  return spawn(file, args, options)
}

function stop(child: ChildProcess): void {
  kill(child, 'SIGTERM')
  const timer = setTimeout(() => kill(child, 'SIGKILL'), KILL_AFTER_MS)
  child.once('close', () => clearTimeout(timer))
}

function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    if (GROUPED) process.kill(-child.pid, signal)
    else child.kill(signal)
  } catch {
    // It ended in the meantime, which is what was wanted.
  }
}

function reason(code: number | null, signal: NodeJS.Signals | null): string | null {
  if (signal !== null) return `ended by ${signal}`
  return code === 0 ? null : `exit code ${code}`
}

/** The last `OUTPUT_LIMIT` bytes of a stream, in memory that does not grow with the stream. */
class Tail {
  #chunks: Buffer[] = []
  #size = 0
  truncated = false

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    for (
      let first = this.#chunks[0];
      first && this.#size - first.length >= OUTPUT_LIMIT;
      first = this.#chunks[0]
    ) {
      this.#chunks.shift()
      this.#size -= first.length
      this.truncated = true
    }
  }

  text(): string {
    let bytes = Buffer.concat(this.#chunks)
    if (bytes.length > OUTPUT_LIMIT) {
      bytes = bytes.subarray(bytes.length - OUTPUT_LIMIT)
      this.truncated = true
    }
    // A cut inside a character leaves up to three of its bytes at the front.
    let from = 0
    while (this.truncated && from < 3 && ((bytes[from] ?? 0) & 0xc0) === 0x80) from += 1
    return stripVTControlCharacters(bytes.toString('utf8', from))
  }
}
