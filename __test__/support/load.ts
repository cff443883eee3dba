import { type IStorage, StorageError } from './flowkeep.js'
import { until } from './until.js'

/** Between two writes of one writer: a log keeps its last 10,000 entries, and all that are written must stay. */
const PAUSE_MS = Number(process.env.FLOWKEEP_ROUNDS ?? 2) > 4 ? 15 : 5

/** What became of a write: every value is unique, so each can be looked for. */
export interface Written {
  readonly value: string
  readonly sessionId: string
  readonly outcome: 'ok' | 'refused' | 'unknown'
  readonly error?: StorageError
  /** When it was settled, by the clock of `performance`. */
  readonly at: number
}

/** Writers that append unique events to sessions of their own, one after the other, until they are told to stop. */
export class Load {
  readonly written: Written[] = []
  private stopped = false
  private running: Promise<unknown> = Promise.resolve()

  private constructor(private readonly storage: IStorage) {}

  static async start(storage: IStorage, writers = 20): Promise<Load> {
    const load = new Load(storage)
    const names = Array.from({ length: writers }, (_, n) => `writer-${n}-${process.pid}`)
    const sessions = await Promise.all(names.map((name) => storage.createSession(name, { title: name })))
    load.running = Promise.all(sessions.map(({ sessionId }, n) => load.write(sessionId, `${n}`)))
    await load.progress()
    return load
  }

  private async write(sessionId: string, name: string): Promise<void> {
    for (let n = 0; !this.stopped; n++) {
      const value = `${name}-${n}`
      const note = (outcome: Written['outcome'], error?: StorageError) =>
        this.written.push({ value, sessionId, outcome, at: performance.now(), ...(error ? { error } : {}) })
      try {
        await this.storage.appendEvent(sessionId, { type: 'custom:load', data: { value } })
        note('ok')
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
        note(error.outcome === 'unknown' ? 'unknown' : 'refused', error)
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }

  of(outcome: Written['outcome']): Written[] {
    return this.written.filter((one) => one.outcome === outcome)
  }

  /** The codes and messages of everything that failed, each once. */
  get complaints(): string[] {
    return [
      ...new Set(this.written.flatMap(({ error }) => (error ? [`${error.code}: ${error.message}`] : []))),
    ]
  }

  /** Waits until writes succeed that begin now. */
  async progress(more = 50): Promise<void> {
    const before = this.of('ok').length
    await until(() => this.of('ok').length > before + more, 'writes succeed', 20_000).catch((error) => {
      const failed = this.written.length - this.of('ok').length
      throw new Error(`${error.message}; ${failed} of ${this.written.length}: ${this.complaints.join('; ')}`)
    })
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.running
  }

  /** What is stored, looked at by a storage of its own: acknowledged values that are not there, and values there twice. */
  async look(storage: IStorage): Promise<{ lost: string[]; twice: string[] }> {
    const found = new Map<string, number>()
    for (const sessionId of new Set(this.written.map((one) => one.sessionId))) {
      for (let cursor: string | undefined; ; ) {
        const page = await storage.events({ sessionId, limit: 1000, ...(cursor ? { cursor } : {}) })
        for (const { data } of page.items) {
          const { value } = data as { value?: string }
          if (value !== undefined) found.set(value, (found.get(value) ?? 0) + 1)
        }
        if (page.items.length === 0) break
        cursor = page.cursor
      }
    }
    const lost = this.of('ok')
      .map(({ value }) => value)
      .filter((value) => !found.has(value))
    const twice = [...found].filter(([, count]) => count > 1).map(([value]) => value)
    return { lost, twice }
  }
}
