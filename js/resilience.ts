/** How a storage behaves while its server is in trouble or away. Every part has a safe default. */
export interface Resilience {
  /** Writes while the server is away: kept and applied later (`journal`, the default), or rejected. */
  readonly onUnavailable?: 'journal' | 'reject'
  /** How long one attempt may take, in ms: 1,000. The call's own deadline bounds it too. */
  readonly attemptTimeoutMs?: number
  /** Attempts that failed are made again after a pause, exponential with full jitter, where that is safe. */
  readonly retry?: {
    /** Attempts of one call, the first included: 5. */
    readonly attempts?: number
    /** The longest first pause: 40. It doubles with each attempt. */
    readonly firstPauseMs?: number
    /** 400. */
    readonly longestPauseMs?: number
    /** Repeats for a hundred calls: 10. */
    readonly budgetPercentage?: number
    /** Repeats that no call has to pay for: 3. */
    readonly reserve?: number
  }
  /** When calls are no longer sent to a server in trouble. */
  readonly breaker?: {
    /** Failures in a row: 5. */
    readonly failures?: number
    /** Failures of a hundred calls in the window: 50. */
    readonly percentage?: number
    /** From so many calls in the window on: 20. */
    readonly minimum?: number
    /** 10,000. */
    readonly windowMs?: number
    /** How long nothing is sent the first time: 1,000. It doubles with each failed probe. */
    readonly openMs?: number
    /** 30,000. */
    readonly longestOpenMs?: number
    /** Successful probes that close it: 2. */
    readonly successes?: number
  }
  /** Writes that are kept. */
  readonly journal?: {
    /**
     * A file in which kept writes outlive this process: opened again, the storage brings them first. It belongs to one
     * storage at a time. In memory alone unless given.
     */
    readonly path?: string
    /**
     * When what was written is forced to the disk: before a write is acknowledged (`always`, the default; all writes of one
     * tick together), once a second (`interval`), or when the system likes (`never`). In any case it outlives a crash of
     * the process.
     */
    readonly fsync?: 'always' | 'interval' | 'never'
    /** 10,000; one more is a `CapacityError`. Pushes to one queue that were made at the same moment are one entry. */
    readonly maxEntries?: number
    /** 64 MiB. */
    readonly maxBytes?: number
  }
  /**
   * What wins when a kept write meets a change of somebody else: what is stored (`remote-wins`, the default), the kept
   * change of an update (`local-wins`: made anew on what is stored), or what is stored until somebody decides (`manual`).
   * Each is told by a `conflict` event and stays in `conflicts()`.
   */
  readonly conflicts?: 'remote-wins' | 'local-wins' | 'manual'
  /** Trouble on purpose, for tests and development: refused where `NODE_ENV` is `production`. */
  readonly chaos?: {
    /** Of a hundred transactions so many fail. */
    readonly failPercentage?: number
    /** Of a hundred transactions so many are done and their answers lost. */
    readonly losePercentage?: number
  }
}
