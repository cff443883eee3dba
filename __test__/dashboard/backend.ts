// One dashboard backend as a process, and a client that speaks to it as any other would.
import { type ChildProcess, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'

export const ROOT = join(__dirname, '../..')
const SERVER = join(ROOT, 'examples/dashboard-backend/server.mjs')
/** What `vi.waitFor` is given wherever something is to happen by itself. */
export const PATIENCE = { timeout: 20_000, interval: 50 }

export interface Session {
  sessionId: string
  title?: string
  userId: string
  version: number
}
export interface Chain {
  chainId: string
  title: string
  status: string
  version: number
}
export interface Step {
  stepId: string
  stepNumber: number
  action: string
  status: string
  attempt: number
  error?: string
  result?: {
    exitCode: number | null
    output: string
    durationMs: number
    earlier?: { exitCode: number; output: string }[]
  }
}
export interface List<T> {
  items: T[]
}
export interface Failure {
  error: {
    code: string
    message: string
    retryable: boolean
    issues?: { path: unknown[] }[]
    current?: Session
  }
}

export interface Message {
  id: string | undefined
  event: string
  data: {
    resumed?: boolean
    events?: { type: string; sessionId: string }[]
    sessions?: Session[]
    backend?: string
    state?: string
    trouble?: string | null
  }
}

/** One backend process and a client for it. */
export class Backend {
  readonly lines: string[]
  readonly url: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, lines: string[], url: string) {
    this.#child = child
    this.lines = lines
    this.url = url
  }

  static async start(env: Record<string, string> = {}): Promise<Backend> {
    const child = spawn(process.execPath, [SERVER], {
      cwd: tmpdir(),
      env: { ...clean(process.env), PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const lines: string[] = []
    let errors = ''
    child.stderr?.on('data', (data) => {
      errors += data
    })
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout?.on('data', (data) => {
        lines.push(...String(data).trimEnd().split('\n'))
        const link = /http:\/\/\S+(?=\/)/.exec(String(data))
        if (link) resolve(link[0])
      })
      child.once('exit', (code) => reject(new Error(`the backend ended with ${code}: ${errors}`)))
    })
    return new Backend(child, lines, url)
  }

  /** The exit code and how long the end took. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<{ code: number | null; ms: number }> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null)
      return { code: this.#child.exitCode, ms: 0 }
    const started = performance.now()
    const ended = new Promise<number | null>((resolve) => this.#child.once('exit', resolve))
    this.#child.kill(signal)
    return { code: await ended, ms: performance.now() - started }
  }

  async call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const response = await fetch(this.url + path, {
      method,
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    })
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? null : JSON.parse(text)) as T,
    }
  }

  async get<T>(path: string): Promise<T> {
    return (await this.call<T>('GET', path)).body
  }

  async post<T>(path: string, body: unknown): Promise<T> {
    return (await this.call<T>('POST', path, body)).body
  }

  async patch<T>(path: string, body: unknown): Promise<T> {
    return (await this.call<T>('PATCH', path, body)).body
  }

  /** Waits until so many listen to the feeds. */
  async listeners(count: number): Promise<void> {
    await vi.waitUntil(
      async () => (await this.get<{ listeners: number }>('/api/status')).listeners === count,
      PATIENCE,
    )
  }

  /** The demo session's newest chain once its recording has ended. */
  async recorded(): Promise<{ session: Session; chain: Chain; steps: Step[] }> {
    return vi.waitFor(async () => {
      const session = (await this.get<List<Session>>('/api/users/demo/sessions')).items.find(
        (one) => one.title === 'This checkout',
      )
      const chains = (await this.get<List<Chain>>(`/api/sessions/${session?.sessionId}/chains?order=desc`))
        .items
      const chain = chains[0]
      if (!session || !chain || !['completed', 'failed'].includes(chain.status))
        throw new Error(`the chain is ${chain?.status}`)
      const { items: steps } = await this.get<List<Step>>(`/api/chains/${chain.chainId}/steps`)
      if (steps.some((step) => step.status === 'in_progress')) throw new Error('a step still runs')
      return { session, chain, steps }
    }, PATIENCE)
  }
}

/** The environment without what would choose a storage: each test says that itself. */
export function clean({ NODE_ENV: _node, REDIS_URL: _url, ...rest }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return rest
}

/** Reads server-sent events until the condition holds. */
export async function listen(
  url: string,
  until: (messages: Message[]) => boolean,
  lastEventId?: string,
): Promise<Message[]> {
  const stop = new AbortController()
  const response = await fetch(url, {
    signal: stop.signal,
    headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
  })
  const messages: Message[] = []
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString()
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
      const data = field('data')
      if (data !== undefined)
        messages.push({ id: field('id'), event: field('event') ?? '', data: JSON.parse(data) })
    }
    if (until(messages)) break
  }
  stop.abort()
  return messages
}

/**
 * Listens, and says when the feed has greeted: what happens before that is not its own, since it was still being opened.
 */
export function hear(
  url: string,
  until: (messages: Message[]) => boolean,
): { greeted: Promise<void>; messages: Promise<Message[]> } {
  let greet = (): void => undefined
  const greeted = new Promise<void>((resolve) => {
    greet = resolve
  })
  const messages = listen(url, (all) => {
    if (all.some(({ event }) => event === 'hello')) greet()
    return until(all)
  })
  return { greeted, messages }
}
