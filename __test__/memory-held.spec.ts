// In memory an answer that was given out is given again while nothing was written where it stands. Whatever happens in between,
// what is given is what the engine answers when it is asked: a call with options of its own is always asked.
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type ChainId, MemoryStorage, type SessionId, type StepId } from './support/flowkeep.js'
import { until } from './support/until.js'

const seed = Number(process.env.FLOWKEEP_SEED ?? Math.floor(Math.random() * 2 ** 31))
const storage = new MemoryStorage({ archiveAfterSeconds: 3_600 })
afterAll(() => storage.close())

let calls = 0
/** Options that no call had before. */
const asked = () => ({ timeoutMs: 10_000 + calls++ })

/** What a user's records are, told as usual and asked for anew. */
async function compare(user: string, sessions: SessionId[], chains: ChainId[], steps: StepId[]) {
  const told = await Promise.all([
    storage.listSessions(user),
    storage.listSessions(user, { limit: 2, order: 'desc' }),
    ...sessions.map((id) => storage.getSession(id)),
    ...sessions.map((id) => storage.listChains(id).catch((error: Error) => error.message)),
    ...chains.map((id) => storage.getChain(id)),
    ...chains.map((id) => storage.listSteps(id).catch((error: Error) => error.message)),
    ...steps.map((id) => storage.getStep(id)),
  ])
  const anew = await Promise.all([
    storage.listSessions(user, asked()),
    storage.listSessions(user, { ...asked(), limit: 2, order: 'desc' }),
    ...sessions.map((id) => storage.getSession(id, asked())),
    ...sessions.map((id) => storage.listChains(id, asked()).catch((error: Error) => error.message)),
    ...chains.map((id) => storage.getChain(id, asked())),
    ...chains.map((id) => storage.listSteps(id, asked()).catch((error: Error) => error.message)),
    ...steps.map((id) => storage.getStep(id, asked())),
  ])
  expect(told).toEqual(anew)
}

const WRITES = [
  'session',
  'chain',
  'step',
  'rename',
  'start',
  'finish',
  'touch',
  'delete',
  'prune',
  'forget',
  'erase',
] as const

describe(`answers that are held, seed ${seed}`, () => {
  it('are what the engine would answer, whatever was written', { timeout: 60_000 }, async () => {
    let users = 0
    let refused = 0
    const writes = fc.array(fc.tuple(fc.constantFrom(...WRITES), fc.nat(7)), { minLength: 5, maxLength: 25 })
    const program = fc.asyncProperty(writes, async (writes) => {
      const user = `held-${users++}`
      const sessions: SessionId[] = []
      const chains: ChainId[] = []
      const steps: StepId[] = []
      const pick = <T>(list: T[], n: number) => list[n % Math.max(1, list.length)] as T
      const write = {
        session: async (n: number) => {
          sessions.push((await storage.createSession(user, { metadata: { n } })).sessionId)
        },
        chain: async (n: number) => {
          chains.push((await storage.createChain(pick(sessions, n), { title: `chain ${n}` })).chainId)
        },
        step: async (n: number) => {
          steps.push((await storage.createStep(pick(chains, n), { action: `step ${n}` })).stepId)
        },
        rename: (n: number) => storage.updateSession(pick(sessions, n), { title: `title ${n}` }),
        start: (n: number) => storage.updateStep(pick(steps, n), { status: 'in_progress' }),
        finish: (n: number) => storage.updateStep(pick(steps, n), { status: 'completed', result: n }),
        touch: (n: number) => storage.touchSession(pick(sessions, n)),
        delete: (n: number) => storage.deleteSession(pick(sessions, n)),
        prune: (n: number) => storage.deleteStep(pick(steps, n)),
        forget: (n: number) => storage.deleteChain(pick(chains, n)),
        erase: () => storage.eraseUser(user),
      }
      for (const [name, n] of writes) {
        await write[name](n).catch(() => (refused += 1))
        await compare(user, sessions, chains, steps)
      }
    })
    await fc.assert(program, { seed, numRuns: 100 })
    // What was refused left answers that stand.
    expect(refused).toBeGreaterThan(0)
  })

  it('are the same object again, and another one after a change', async () => {
    const { sessionId } = await storage.createSession('ada', { title: 'first' })
    const first = await storage.getSession(sessionId)
    expect(await storage.getSession(sessionId)).toBe(first)
    await storage.updateSession(sessionId, { title: 'second' })
    const second = await storage.getSession(sessionId)
    expect(second).toMatchObject({ title: 'second', version: 2 })
    expect(await storage.getSession(sessionId)).toBe(second)
    expect(first?.title).toBe('first')
  })

  it('outlast no deadline', async () => {
    const short = new MemoryStorage({ sessionTtlSeconds: 0.2, sweepSeconds: 0 })
    const { sessionId } = await short.createSession('ada', {})
    const { chainId } = await short.createChain(sessionId, { title: 'c' })
    expect((await short.listSessions('ada')).length).toBe(1)
    expect((await short.listChains(sessionId)).length).toBe(1)
    expect(await short.getChain(chainId)).not.toBeNull()
    await until(async () => (await short.getSession(sessionId)) === null, 'the session has come to its end')
    expect(await short.getChain(chainId)).toBeNull()
    expect(await short.listSessions('ada')).toEqual([])
    await expect(short.listChains(sessionId)).rejects.toMatchObject({ code: 'STORAGE_NOT_FOUND' })
    await short.close()
  })

  it('are nobody’s to change', async () => {
    const { sessionId, createdAt } = await storage.createSession('bob', {})
    const mine = await storage.getSession(sessionId)
    const list = await storage.listSessions('bob')
    mine?.createdAt.setTime(0)
    list[0]?.createdAt.setTime(0)
    list.pop()
    expect((await storage.getSession(sessionId))?.createdAt).toEqual(createdAt)
    const again = await storage.listSessions('bob')
    expect(again.map((session) => session.createdAt)).toEqual([createdAt])
    expect(await storage.listSessions('bob')).not.toBe(again)
  })

  it('answer only the call that they answered', async () => {
    const { sessionId } = await storage.createSession('eve', {})
    await storage.createSession('eve', {})
    expect((await storage.getSession(sessionId))?.sessionId).toBe(sessionId)
    await expect(storage.getChain(String(sessionId))).rejects.toMatchObject({ code: 'STORAGE_INVALID' })
    await expect(storage.listChains('eve')).rejects.toMatchObject({ code: 'STORAGE_INVALID' })
    expect((await storage.listSessions('eve', { limit: 1 })).length).toBe(1)
    expect((await storage.listSessions('eve')).length).toBe(2)
    const tagged = { limit: undefined } as { limit?: number }
    await storage.listSessions('eve', tagged).catch(() => {})
    const bad = { limit: ['undefined'] } as unknown as { limit: number }
    await expect(storage.listSessions('eve', bad)).rejects.toMatchObject({ code: 'STORAGE_INVALID' })
    const aborted = { signal: AbortSignal.abort(new Error('given up')) }
    await expect(storage.getSession(sessionId, aborted)).rejects.toThrow('given up')
    await expect(storage.listSessions('eve', aborted)).rejects.toThrow('given up')
  })

  it('end with the storage', async () => {
    const other = new MemoryStorage()
    const { sessionId } = await other.createSession('ada', {})
    await other.getSession(sessionId)
    await other.listSessions('ada')
    await other.close()
    await expect(other.getSession(sessionId)).rejects.toMatchObject({ code: 'STORAGE_CLOSED' })
    await expect(other.listSessions('ada')).rejects.toMatchObject({ code: 'STORAGE_CLOSED' })
  })
})
