import type { Logger } from './notices.js'
import type { Resilience } from './resilience.js'
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

/** How connections by TLS are made (`rediss://` and the like). Certificates and keys are PEM texts. */
export interface TlsOptions {
  /** The authorities to trust; the ones that Node trusts unless given. */
  readonly ca?: string
  /** Our own certificate, for a server that asks for one, and its key. */
  readonly cert?: string
  readonly key?: string
  /** The name that the server's certificate must bear; the URL's host unless given. */
  readonly servername?: string
  /** `false` takes whatever certificate comes: for experiments alone. */
  readonly rejectUnauthorized?: boolean
}

/** What every storage takes. */
export interface StorageOptions {
  /** In front of every stored key: at most 64 code points, no braces. `flowkeep:` unless given. */
  readonly prefix?: string
  /** A session's life after the last write in its tree, in seconds; fractions count; 0 is for ever. 86,400 unless given. */
  readonly sessionTtlSeconds?: number
  /** A session's longest life, whatever is written, in seconds; 0, the default, is no bound. */
  readonly maxSessionLifeSeconds?: number
  /** Events that a session's log keeps: the last 10,000 unless given. What a reader finds gone is told: `log:trimmed`, `gap`. */
  readonly maxEvents?: number
  /**
   * The age at which events go, in seconds, from the logs of sessions in which no chain runs, and from the feeds of users. 604,800 (7 days)
   * unless given. A feed goes when nothing was added to it for so long.
   */
  readonly eventTtlSeconds?: number
  /**
   * How long a chain stays as it is after its end, in seconds, before it is archived: read-only, in one piece, with a life of its own.
   * 0, the default, is with the very write that ends it.
   */
  readonly archiveAfterSeconds?: number
  /**
   * How long what a session has archived is kept after the last chain came to it, in seconds, whatever becomes of the session; 0 is for
   * ever. 604,800 (7 days) unless given.
   */
  readonly archiveTtlSeconds?: number
  /**
   * The form in which records are written: while processes with an older version of this library are still at work on the same data, the
   * newest form that they read. 1 knows no archives and no leases. The latest, 2, unless given.
   */
  readonly writeSchemaVersion?: number
  /** How long a call waits unless it says otherwise, in ms. 2,000 unless given. */
  readonly timeoutMs?: number
  /**
   * How often this storage does a part of what is due, in seconds: it notes the end of expired sessions, ends leases that
   * have run out, archives chains. 1 unless given: what it wrote itself is looked at then, all that others wrote within half a
   * minute. 0 is never: something else has to call `sweep`.
   */
  readonly sweepSeconds?: number
  readonly limits?: Partial<Limits>
  readonly schemas?: OwnSchemas
  /**
   * Keeps a feed over all users, for `subscribe({ all: true })`: every event is stored once more. `false` unless given; every
   * process that writes needs it.
   */
  readonly feedOfAll?: boolean
  /** What a list does with a stored record that can't be read: fail (the default), or leave it out. */
  readonly onCorrupt?: 'throw' | 'skip'
  /** `rawKeys: true`: `storage.kv` takes keys as they are, in a keyspace that other programs share: no prefix. */
  readonly kv?: { readonly rawKeys?: boolean }
  /** For a URL that asks for TLS. */
  readonly tls?: TlsOptions
  /** Hears of the storage's own life, and from `openStorage` what was chosen where that may surprise. */
  readonly logger?: Logger
}

/** What `openStorage` takes. */
export interface OpenOptions extends StorageOptions {
  /** Chosen by `NODE_ENV` and `REDIS_URL` unless given. */
  readonly backend?: 'memory' | 'redis'
  /** The server, for Redis; `REDIS_URL` unless given. */
  readonly url?: string
  /** How it behaves while the server is away. Redis is always inside the resilient stack; memory only if this is given. */
  readonly resilience?: Resilience
}

/** What a bare storage was made of, for the stack that is put around it. */
const MADE_OF = new WeakMap<object, { options: StorageOptions; fixed: object }>()

/** A storage in this process: nothing outlives it. */
export class MemoryStorage<T extends Typing = Typing> extends StorageBase<T> {
  constructor(options: StorageOptions = {}) {
    const fixed = { backend: 'memory', resilience: undefined } as const
    super(options, fixed)
    MADE_OF.set(this, { options, fixed })
  }
}

/**
 * A storage on Redis or Valkey, bare: without retries, and without anything for the time that the server
 * is away. It connects with the first call.
 */
export class RedisAdapter<T extends Typing = Typing> extends StorageBase<T> {
  /**
   * @param url `redis://[[user]:password@]host[:port][/database]`, `rediss://` for TLS, `unix://path`,
   * `redis+sentinel://host,host/service`, `redis-cluster://host,host`
   * @throws ConfigError
   */
  constructor(url: string, options: StorageOptions = {}) {
    const fixed = { backend: 'redis', url, resilience: undefined } as const
    super(options, fixed)
    MADE_OF.set(this, { options, fixed })
  }
}

/**
 * A storage inside the resilient stack: failed attempts are repeated where that is safe, a breaker spares a server in
 * trouble, and while it is away questions are answered from what is known here and writes are kept for later.
 */
export class ResilientStorage<T extends Typing = Typing> extends StorageBase<T> {
  readonly #delegate: MemoryStorage<T> | RedisAdapter<T>

  /**
   * @param delegate what it stands on: its options are taken over, and it is closed with this one
   * @throws ConfigError
   */
  constructor(delegate: MemoryStorage<T> | RedisAdapter<T>, policy: Resilience = {}) {
    const { options, fixed } = MADE_OF.get(delegate) ?? { options: {}, fixed: {} }
    super(options, { ...fixed, resilience: policy })
    this.#delegate = delegate
  }

  override async close(): Promise<void> {
    await super.close()
    await this.#delegate.close()
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
