import type { NativeStorage } from '../native.js'
import { AwayBase } from './away.js'
import type { Breakers } from './breakers.js'
import { Cache } from './cache.js'
import type { Calls } from './calls.js'
import { Collection, type CollectionShape } from './collection.js'
import { KeyValues } from './kv.js'
import type { Notices } from './notices.js'
import { Queue } from './queue.js'
import { RequestLog } from './request-log.js'
import { ServiceView } from './service.js'
import { Streams } from './streams.js'

/** How long closing waits for the server to be told of what was popped, in ms. */
const TELLING_MS = 500

/** What a storage has beside its records: each part is made when it is asked for first, all over one connection. */
export abstract class PlainBase extends AwayBase {
  readonly #calls: Calls
  #queue: Queue | undefined
  #cache: Cache | undefined
  #kv: KeyValues | undefined
  #streams: Streams | undefined
  #requestLog: RequestLog | undefined
  readonly #services = new Map<string, ServiceView>()

  /** @internal */
  protected constructor(calls: Calls, native: NativeStorage, notices: Notices) {
    super(calls, native, notices)
    this.#calls = calls
  }

  abstract get breakers(): Breakers

  /** What one service sees of this storage: tables, a history and circuit breakers of its own. */
  service(name: string): ServiceView {
    let view = this.#services.get(name)
    if (!view) {
      view = new ServiceView(this.#calls, name, () => this.breakers)
      this.#services.set(name, view)
    }
    return view
  }

  /** Queues by name. */
  get queue(): Queue {
    this.#queue ??= new Queue(this.#calls)
    return this.#queue
  }

  /**
   * The server was told of what was popped, or could not be within the time that closing may take.
   *
   * @internal
   */
  protected async settled(): Promise<void> {
    const told = this.#queue?.told()
    if (told === undefined) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, TELLING_MS)
    })
    await Promise.race([told, late])
    clearTimeout(timer)
  }

  /** Values with a life of their own. */
  get cache(): Cache {
    this.#cache ??= new Cache(this.#calls)
    return this.#cache
  }

  /** Keys and values. */
  get kv(): KeyValues {
    this.#kv ??= new KeyValues(this.#calls)
    return this.#kv
  }

  /** Streams by name. */
  get streams(): Streams {
    this.#streams ??= new Streams(this.#calls)
    return this.#streams
  }

  /** Requests that were served. */
  get requestLog(): RequestLog {
    this.#requestLog ??= new RequestLog(this.#calls)
    return this.#requestLog
  }

  /** A collection of records, by its name and by the fields that its records are found by. Nothing is stored by asking. */
  collection<T extends object>(name: string, shape: CollectionShape<T>): Collection<T> {
    return new Collection<T>(this.#calls, name, shape)
  }
}
