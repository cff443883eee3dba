import { type Environment, StorageBase } from './storage.js'
import type { Typing } from './types.js'

/** The bounds of what callers may give. The defaults stand behind each. */
export interface Limits {
  /** Code points of an id, the user's included: 128. */
  readonly idCodePoints: number
  /** 500. */
  readonly titleCodePoints: number
  /** 500. */
  readonly actionCodePoints: number
  /** 2,000. */
  readonly errorCodePoints: number
  /** 2,000. */
  readonly summaryCodePoints: number
  /** 128. */
  readonly modelCodePoints: number
  /** Tags of a session: 32. */
  readonly tagCount: number
  /** 64. */
  readonly tagCodePoints: number
  /** Bytes of one JSON value as UTF-8 text: 1 MiB. */
  readonly jsonBytes: number
  /** Nested arrays and objects of one JSON value: 64. */
  readonly jsonDepth: number
  /** Steps that one step may wait for: 1,000. */
  readonly waitsForCount: number
  /** Code points of a custom event's name: 64. */
  readonly eventTypeCodePoints: number
}

/** The caller's own schemas: JSON Schema objects, or anything with Standard JSON Schema (zod 4.2 and later). */
export interface OwnSchemas {
  /** For `metadata` of sessions. */
  readonly session?: object
  /** For `metadata` of chains. */
  readonly chain?: object
  /** For `inputs` of steps. */
  readonly inputs?: object
  /** For `result` of steps. */
  readonly result?: object
}

/** What every storage takes. */
export interface StorageOptions {
  /** In front of every stored key: at most 64 code points, no braces. `flowkeep:` unless given. */
  readonly prefix?: string
  /** A session's life after the last write in its tree, in seconds; fractions count; 0 is for ever. 86,400 unless given. */
  readonly sessionTtlSeconds?: number
  /** A session's longest life, whatever is written, in seconds; 0, the default, is no bound. */
  readonly maxSessionLifeSeconds?: number
  /** How long a call waits unless it says otherwise, in ms. 2,000 unless given. */
  readonly timeoutMs?: number
  readonly limits?: Partial<Limits>
  readonly schemas?: OwnSchemas
  /** What a list does with a stored record that can't be read: fail (the default), or leave it out. */
  readonly onCorrupt?: 'throw' | 'skip'
}

/** Where `openStorage` says what it does. */
export interface Logger {
  info(message: string): void
  warn?(message: string): void
  error?(message: string): void
}

/** What `openStorage` takes. */
export interface OpenOptions extends StorageOptions {
  /** Chosen by `NODE_ENV` and `REDIS_URL` unless given. */
  readonly backend?: 'memory' | 'redis'
  /** The server, for Redis; `REDIS_URL` unless given. */
  readonly url?: string
  /** Hears what was chosen where that may surprise. `console` unless given. */
  readonly logger?: Logger
}

/** A storage in this process: nothing outlives it. */
export class MemoryStorage<T extends Typing = Typing> extends StorageBase<T> {
  constructor(options: StorageOptions = {}) {
    super(options, { backend: 'memory' })
  }
}

/**
 * A storage on Redis or Valkey, bare: without retries, and without anything for the time that the server
 * is away. It connects with the first call.
 */
export class RedisAdapter<T extends Typing = Typing> extends StorageBase<T> {
  /**
   * @param url `redis://[user[:password]@]host[:port][/database]`, or `valkey://`, or `unix://path`
   * @throws ConfigError, UnsupportedError
   */
  constructor(url: string, options: StorageOptions = {}) {
    super(options, { backend: 'redis', url })
  }
}

/** A storage as `openStorage` chooses it. */
class OpenedStorage<T extends Typing> extends StorageBase<T> {
  constructor(options: OpenOptions, environment: Environment) {
    super(options, {}, environment)
  }
}

/** A storage of either kind. */
export type Storage<T extends Typing = Typing> = StorageBase<T>

/**
 * Opens a storage: in memory for `NODE_ENV` `development`, `test` or none, on Redis at `REDIS_URL` for
 * `production`. It does not wait for a server: the first call connects.
 *
 * @throws ConfigError when the environment does not say enough
 */
export async function openStorage<T extends Typing = Typing>(options: OpenOptions = {}): Promise<Storage<T>> {
  const { NODE_ENV: nodeEnv = '', REDIS_URL: redisUrl = '' } = process.env
  const storage = new OpenedStorage<T>(options, { nodeEnv, redisUrl })
  const { backend } = await storage.status()
  if (backend === 'memory' && redisUrl !== '' && options.backend === undefined) {
    const logger = options.logger ?? console
    logger.info(`flowkeep: NODE_ENV is '${nodeEnv}', so data is kept in memory and REDIS_URL is not used`)
  }
  return storage
}
