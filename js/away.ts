import type { NativeStorage } from '../native.js'
import { type Calls, numberOf } from './calls.js'
import { type Conflict, conflictsOf, type Notice, type Notices, type NoticeType, noChaos } from './notices.js'
import type { CallOptions } from './types.js'

const CONFLICTS = numberOf('conflicts')

/** What a storage tells of the time when its server is away. */
export abstract class AwayBase {
  readonly #calls: Calls
  readonly #native: NativeStorage
  readonly #notices: Notices

  /** @internal */
  protected constructor(calls: Calls, native: NativeStorage, notices: Notices) {
    this.#calls = calls
    this.#native = native
    this.#notices = notices
  }

  /**
   * Hears of the storage's own life: `degraded`, `recovering`, `healthy`, `conflict` and the like. Gives back what ends
   * the listening. A listener that throws is no matter of the storage: its error is thrown later, alone.
   */
  on<Type extends NoticeType>(type: Type, listener: (notice: Notice<Type>) => void): () => void {
    return this.#notices.on(type, listener)
  }

  /** Writes that were kept while the server was away and met a change of somebody else: the latest 1,000. */
  conflicts(options?: CallOptions): Promise<Conflict[]> {
    return this.#calls.byId(CONFLICTS, '', undefined, options, conflictsOf, false) as Promise<Conflict[]>
  }

  /**
   * Begins or ends an outage of the server as far as this storage can tell. Only with `resilience: { chaos: {} }`.
   *
   * @throws UnsupportedError
   */
  simulateOutage(on: boolean): void {
    if (!this.#native.simulateOutage(on)) throw noChaos()
  }
}
