import { UnsupportedError } from './errors.js'
import type { Json, JsonObject } from './generated/records.js'

/** Hears what a storage has to say: `console`, pino, Fastify's. No text holds a secret. */
export interface Logger {
  info(message: string): void
  warn?(message: string): void
  error?(message: string): void
}

/** A write that was kept while the server was away and met a change of somebody else. */
export interface Conflict {
  readonly conflictId: string
  readonly at: Date
  /** What the ids of the records have in common; the name of a queue or a stream. */
  readonly tree: string
  /** `refused`: the queue was closed meanwhile. `unknown`: it may have been done before the server went away, too long ago to be known. */
  readonly why: 'changed' | 'error' | 'refused' | 'unknown'
  /** What is stored now: what was there (`remote`), the kept change (`local`), or what was there until somebody decides (`open`). */
  readonly resolution: 'remote' | 'local' | 'open'
  /** The event of the kept change: its type, what it is of, and in `data` what it set. Of a plain value: `values`, the texts that it held. */
  readonly change: JsonObject
}

interface Told {
  degraded: { readonly journal: number; readonly lastError: string | null }
  recovering: { readonly journal: number; readonly lastError: string | null }
  healthy: { readonly journal: number; readonly lastError: string | null }
  conflict: Omit<Conflict, 'at'>
  gap: { readonly reason: string }
  epoch: { readonly reason: string }
  journalFull: object
  /** `quarantine` is the file that damaged parts of the journal were set aside in. */
  journalError: { readonly reason: string; readonly quarantine?: string }
}

/** What can be heard of a storage's own life. */
export type NoticeType = keyof Told

/** One thing that happened. */
export type Notice<Type extends NoticeType = NoticeType> = Type extends NoticeType
  ? { readonly type: Type; readonly at: Date } & Told[Type]
  : never

type Listener = (notice: Notice) => void

const LOUD: ReadonlySet<string> = new Set([
  'degraded',
  'conflict',
  'gap',
  'epoch',
  'journalFull',
  'journalError',
])

/** Those who listen to a storage's own life. */
export class Notices {
  readonly #listeners = new Map<string, Set<Listener>>()
  readonly #logger: Logger | undefined

  constructor(logger: Logger | undefined) {
    this.#logger = logger
  }

  /** For a storage of these options; `usual` hears where they name nobody. */
  static of(options: unknown, usual: Logger | undefined): Notices {
    return new Notices(((options ?? {}) as { logger?: Logger }).logger ?? usual)
  }

  on<Type extends NoticeType>(type: Type, listener: (notice: Notice<Type>) => void): () => void {
    const listeners = this.#listeners.get(type) ?? new Set()
    this.#listeners.set(type, listeners)
    // The same function twice is heard twice, and ended one by one.
    const own: Listener = (notice) => listener(notice as Notice<Type>)
    listeners.add(own)
    return () => {
      listeners.delete(own)
    }
  }

  /** Tells everybody: a JSON array of what happened. */
  tell(news: string): void {
    for (const { at, ...rest } of JSON.parse(news) as ({ type: string; at: number } & object)[]) {
      const notice = Object.freeze({ ...rest, at: new Date(at) }) as unknown as Notice
      this.#log(notice)
      for (const listener of this.#listeners.get(notice.type) ?? []) {
        try {
          listener(notice)
        } catch (error) {
          queueMicrotask(() => {
            throw error
          })
        }
      }
    }
  }

  #log(notice: Notice): void {
    const logger = this.#logger
    if (!logger) return
    const { type, lastError, reason } = notice as { type: string; lastError?: string | null; reason?: string }
    const text = `flowkeep: ${[type, lastError ?? reason].filter(Boolean).join(': ')}`
    if (LOUD.has(type) && logger.warn) logger.warn(text)
    else logger.info(text)
  }
}

/** Conflicts as the engine tells them. */
export function conflictsOf(written: Json): Conflict[] {
  return (written as unknown as { at: number }[]).map(
    ({ at, ...rest }) => Object.freeze({ ...rest, at: new Date(at) }) as unknown as Conflict,
  )
}

/** The error of a simulation that was not prepared for. */
export function noChaos(): UnsupportedError {
  return new UnsupportedError({
    code: 'STORAGE_UNSUPPORTED',
    message: 'an outage is simulated only by a storage that was opened with resilience: { chaos: {} }',
    operation: 'simulateOutage',
    retryable: false,
    attempts: 1,
    outcome: 'not-applied',
  })
}
