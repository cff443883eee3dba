// The dashboard's own data: commands that really run on this checkout, recorded as chains of one session.
import { mkdtemp, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { recordChain, StorageError } from 'flowkeep'

export const DEMO_USER = 'demo'
const SESSION_TAG = 'this-checkout'
const ASK_AGAIN_MS = 2000
const HERE = fileURLToPath(new URL('.', import.meta.url))
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** @returns {import('flowkeep').RecordedCommand[]} */
function commands(/** @type {string} */ scratch) {
  const index = join(scratch, 'files.json')
  return [
    { run: ['node', '--version'] },
    { run: ['cargo', '--version'] },
    { run: ['git', 'log', '--oneline', '-5'] },
    { run: ['git', 'status', '--short', '--branch'] },
    { run: ['cargo', 'metadata', '--no-deps', '--format-version', '1'], waitsFor: [1] },
    // Looks for an index that is not there yet: the first attempt fails and builds it, the second one finds it.
    {
      action: 'look up README.md in the file index',
      run: ['node', join(HERE, 'lookup.mjs'), index, 'README.md'],
      retries: 1,
      waitsFor: [0],
    },
    { run: 'npm ls --depth=0', waitsFor: [0] },
    {
      action: 'count the lines of the sources',
      run: ['node', join(HERE, 'lines.mjs'), index],
      waitsFor: [5],
    },
  ]
}

export class Recordings {
  /** @type {import('flowkeep').IStorage} */ #storage
  #interruption = new AbortController()
  /** @type {Promise<unknown> | undefined} */ #running
  /** @type {string | undefined} */ #known

  constructor(/** @type {import('flowkeep').IStorage} */ storage) {
    this.#storage = storage
  }

  get active() {
    return this.#running !== undefined
  }

  /** At the start: closes what a killed backend left open, then records. A storage that is away is asked again. */
  async begin() {
    const { signal } = this.#interruption
    while (!signal.aborted) {
      try {
        const session = await this.#session()
        await this.#closeAbandoned(session.sessionId)
        return this.#start(session.sessionId)
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof StorageError && error.retryable)) throw error
        await sleep(ASK_AGAIN_MS, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** On request: records once more, unless a recording is under way. */
  async again() {
    const { sessionId } = await this.#session()
    const started = !this.active
    if (started) this.#start(sessionId)
    return { sessionId, started }
  }

  /** Interrupts the recording and waits until that is stored. */
  async stop() {
    this.#interruption.abort()
    await this.#running
  }

  /** The session of this checkout: known already, found again on Redis, created otherwise. */
  async #session() {
    const known = this.#known && (await this.#storage.getSession(this.#known))
    const session = known && known.state === 'active' ? known : await this.#found()
    this.#known = session.sessionId
    return session
  }

  async #found() {
    const sessions = await this.#storage.listSessions(DEMO_USER, { order: 'desc' })
    const mine = sessions.find(
      (session) =>
        session.state === 'active' && session.tags.includes(SESSION_TAG) && session.metadata.root === ROOT,
    )
    if (mine !== undefined) return mine
    return this.#storage.createSession(DEMO_USER, {
      title: 'This checkout',
      tags: [SESSION_TAG],
      metadata: { root: ROOT, host: hostname() },
    })
  }

  #start(/** @type {string} */ sessionId) {
    if (this.#interruption.signal.aborted) return
    this.#running = this.#record(sessionId)
      .catch((error) => console.error(`the recording ended early: ${error.message}`))
      .finally(() => {
        this.#running = undefined
      })
  }

  async #record(/** @type {string} */ sessionId) {
    const scratch = await mkdtemp(join(tmpdir(), 'flowkeep-dashboard-'))
    try {
      await recordChain(this.#storage, sessionId, {
        title: 'Look over the checkout',
        commands: commands(scratch),
        cwd: ROOT,
        concurrency: 2,
        signal: this.#interruption.signal,
      })
    } finally {
      await rm(scratch, { recursive: true, force: true })
    }
  }

  /** A backend that was killed could not say so. Its steps would seem to run for ever. */
  async #closeAbandoned(/** @type {string} */ sessionId) {
    for (const chain of await this.#storage.listChains(sessionId)) {
      const { host, pid } = /** @type {{ host?: string, pid?: number }} */ (chain.metadata.recorder ?? {})
      if (!['pending', 'in_progress'].includes(chain.status) || host !== hostname() || alive(pid)) continue
      for (const { stepId, status } of await this.#storage.listSteps(chain.chainId)) {
        if (status === 'in_progress')
          await this.#close(stepId, { status: 'failed', error: 'interrupted: the backend was killed' })
        if (status === 'pending') await this.#close(stepId, { status: 'skipped' })
      }
    }
  }

  /** Another backend on the same Redis may do the same at this moment; whoever is second has nothing left to do. */
  async #close(/** @type {string} */ stepId, /** @type {object} */ update) {
    await this.#storage.updateStep(stepId, update).catch((error) => {
      if (!(error instanceof StorageError) || error.code !== 'STORAGE_TRANSITION') throw error
    })
  }
}

function alive(/** @type {unknown} */ pid) {
  if (pid === process.pid || typeof pid !== 'number') return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}
