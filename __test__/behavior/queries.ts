import { describe, expect, it } from 'vitest'
import type { IStorage, RecordPage, Session } from '../support/flowkeep.js'
import { NotFoundError, TimeoutError } from '../support/flowkeep.js'
import { invalidPaths, refusal } from '../support/refusal.js'
import { nextMoment } from '../support/until.js'
import { existing, newUser, type Subject, useFixture } from './fixture.js'

/** All pages of a query, from its beginning to its end. */
async function walk<R>(
  page: (cursor: object) => Promise<RecordPage<R>>,
  between: () => Promise<unknown> = () => Promise.resolve(),
): Promise<R[]> {
  const all: R[] = []
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const { items, cursor: next } = await page(cursor === undefined ? {} : { cursor })
    all.push(...items)
    cursor = next
    await between()
  }
  return all
}

/** A chance that can be had again. */
function chance(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const states = ['active', 'paused', 'completed'] as const

async function sessionsOf(storage: IStorage, userId: string, count: number): Promise<Session[]> {
  const made: Session[] = []
  for (let n = 0; n < count; n++) {
    const { sessionId } = await storage.createSession(userId, { tags: n % 3 === 0 ? ['third', 'x'] : ['x'] })
    const state = existing(states[n % states.length])
    if (state !== 'active') await storage.updateSession(sessionId, { state })
    made.push(existing(await storage.getSession(sessionId)))
  }
  return made
}

/** Queries: what fits, page by page. */
export function queries(subject: Subject): void {
  describe('a query of sessions', () => {
    const fixture = useFixture(subject)

    it('gives what fits, in the order of creation', async () => {
      const { storage } = fixture
      const userId = newUser()
      const all = await sessionsOf(storage, userId, 14)
      const ask = async (query: object) => (await storage.querySessions({ parent: userId, ...query })).items
      expect(await ask({})).toEqual(all)
      expect(await ask({ order: 'desc' })).toEqual([...all].reverse())
      for (const state of states) expect(await ask({ state })).toEqual(all.filter((s) => s.state === state))
      expect(await ask({ tag: 'third' })).toEqual(all.filter((s) => s.tags.includes('third')))
      expect(await ask({ tag: 'third', state: 'active', order: 'desc' })).toEqual(
        all.filter((s) => s.tags.includes('third') && s.state === 'active').reverse(),
      )
      expect(await ask({ tag: 'nobody' })).toEqual([])
      const [before, after] = [existing(all[4]).createdAt, existing(all[9]).createdAt]
      const inside = (s: Session) => s.createdAt > before && s.createdAt < after
      expect(await ask({ createdAfter: before, createdBefore: after })).toEqual(all.filter(inside))
      expect(await ask({ createdAfter: before, createdBefore: after, order: 'desc' })).toEqual(
        all.filter(inside).reverse(),
      )
    })

    it.each([1, 3, 5, 14, 20])('is walked in pages of %i', async (limit) => {
      const { storage } = fixture
      const userId = newUser()
      const all = await sessionsOf(storage, userId, 14)
      for (const query of [{}, { state: 'paused' }, { tag: 'third' }] as const) {
        for (const order of ['asc', 'desc'] as const) {
          const ask = (more: object) =>
            storage.querySessions({ parent: userId, ...query, limit, order, ...more })
          const fits = all.filter(
            (s) =>
              (!('state' in query) || s.state === 'paused') &&
              (!('tag' in query) || s.tags.includes('third')),
          )
          expect(await walk(ask)).toEqual(order === 'asc' ? fits : fits.reverse())
        }
      }
    })

    it.each([11, 22, 33, 44])(
      'meets what is there throughout exactly once, while others come and go (%i)',
      async (seed) => {
        const { storage } = fixture
        const random = chance(seed)
        const userId = newUser()
        const kept = (await sessionsOf(storage, userId, 30)).map((session) => session.sessionId as string)
        const others = (await sessionsOf(storage, userId, 10)).map((session) => session.sessionId as string)
        const disturb = async () => {
          for (let n = random(4); n > 0; n--) {
            others.push((await storage.createSession(userId, {})).sessionId)
            const gone = others.splice(random(others.length), 1)[0]
            if (gone !== undefined && random(2) === 0) await storage.deleteSession(gone)
            const moved = existing(kept[random(kept.length)])
            const { state } = existing(await storage.getSession(moved))
            if (state === 'active') await storage.updateSession(moved, { state: 'paused' })
            else if (state === 'paused') await storage.updateSession(moved, { state: 'active' })
          }
        }
        for (const order of ['asc', 'desc'] as const) {
          const limit = 1 + random(6)
          const page = (more: object) =>
            storage.querySessions({ parent: userId, order, limit, fields: [], ...more })
          const met = (await walk(page, disturb)).map((session) => session.sessionId as string)
          expect(new Set(met).size).toBe(met.length)
          const keptMet = met.filter((id) => kept.includes(id))
          expect(keptMet).toEqual(order === 'asc' ? kept : [...kept].reverse())
        }
      },
    )

    it('gives the fields that were asked for, and the id', async () => {
      const userId = newUser()
      const session = await fixture.session({ title: 'one', metadata: { large: 'x'.repeat(1000) } }, userId)
      const page = await fixture.storage.querySessions({ parent: userId, fields: ['title', 'createdAt'] })
      expect(page.items).toEqual([
        { sessionId: session.sessionId, title: 'one', createdAt: session.createdAt },
      ])
      expect(Object.isFrozen(page.items[0])).toBe(true)
    })

    it('finds nothing of nobody, and nothing of another user', async () => {
      await fixture.session()
      expect(await fixture.storage.querySessions({ parent: newUser() })).toEqual({ items: [], cursor: null })
    })
  })

  describe('queries of chains and steps', () => {
    const fixture = useFixture(subject)

    it('give what fits, page by page, either way', async () => {
      const { storage } = fixture
      const { sessionId } = await fixture.session()
      for (let n = 0; n < 9; n++) {
        const { chainId } = await storage.createChain(sessionId, { title: `chain ${n}` })
        if (n % 3 === 0) await storage.updateChain(chainId, { status: 'in_progress' })
        if (n === 4) await storage.deleteChain(chainId)
        await nextMoment()
      }
      const all = await storage.listChains(sessionId)
      const ask = (query: object) => storage.queryChains({ parent: sessionId, ...query })
      expect(await ask({})).toEqual({ items: all, cursor: null })
      const started = all.filter((chain) => chain.status === 'in_progress')
      for (const limit of [1, 2, 3, 100]) {
        expect(await walk((more) => ask({ limit, ...more }))).toEqual(all)
        expect(await walk((more) => ask({ limit, order: 'desc', ...more }))).toEqual([...all].reverse())
        expect(await walk((more) => ask({ limit, status: 'in_progress', ...more }))).toEqual(started)
      }
      const [from, to] = [existing(all[1]), existing(all[5])]
      expect((await ask({ createdAfter: from.createdAt, createdBefore: to.createdAt })).items).toEqual(
        all.slice(2, 5),
      )
    })

    it.each([5, 6, 7])(
      'meet what is there throughout exactly once, while others come and go (%i)',
      async (seed) => {
        const { storage } = fixture
        const random = chance(seed)
        const { sessionId } = await fixture.session()
        const chain = async () => (await storage.createChain(sessionId, { title: 'chain' })).chainId as string
        const { chainId: parent } = await storage.createChain(sessionId, { title: 'of steps' })
        const step = async () => (await storage.createStep(parent, { action: 'step' })).stepId as string
        const walks = [
          { make: chain, drop: (id: string) => storage.deleteChain(id), of: 'chainId' },
          { make: step, drop: (id: string) => storage.deleteStep(id), of: 'stepId' },
        ] as const
        for (const { make, drop, of } of walks) {
          const others = [await make(), await make()]
          const kept = of === 'chainId' ? [parent as string] : []
          for (let n = 0; n < 12; n++) (n % 4 === 0 ? others : kept).push(await make())
          const disturb = async () => {
            for (let n = random(4); n > 0; n--) {
              others.push(await make())
              const gone = others.splice(random(others.length), 1)[0]
              if (gone !== undefined && random(2) === 0) await drop(gone)
            }
          }
          for (const order of ['asc', 'desc'] as const) {
            const query = { order, limit: 1 + random(4), fields: [] }
            const page = (more: object): Promise<RecordPage<Record<string, unknown>>> =>
              of === 'chainId'
                ? storage.queryChains({ parent: sessionId, ...query, ...more })
                : storage.querySteps({ parent, ...query, ...more })
            const met = (await walk(page, disturb)).map((record) => record[of] as string)
            const inOrder = of === 'chainId' ? [...kept].sort() : kept
            expect(new Set(met).size).toBe(met.length)
            expect(met.filter((id) => kept.includes(id)).sort()).toEqual([...inOrder].sort())
          }
        }
      },
    )

    it('leave out what is large and not asked for', async () => {
      const { storage } = fixture
      const chain = await fixture.chainOf(['completed', 'pending', 'completed'])
      const step = existing(chain.stepOrder[0])
      await storage.updateStep(step, { inputs: { n: 1 } })
      const page = await storage.querySteps({
        parent: chain.chainId,
        status: 'completed',
        fields: ['stepNumber', 'status'],
        limit: 1,
      })
      expect(page.items).toEqual([{ stepId: step, stepNumber: 1, status: 'completed' }])
      const rest = await storage.querySteps({
        parent: chain.chainId,
        status: 'completed',
        cursor: existing(page.cursor),
      })
      expect(rest).toEqual({
        items: [await storage.getStep(existing(chain.stepOrder[2]))],
        cursor: null,
      })
    })

    it('are errors without their parent', async () => {
      const { sessionId } = await fixture.session()
      const { chainId } = await fixture.storage.createChain(sessionId, { title: 'gone' })
      await fixture.storage.deleteSession(sessionId)
      await refusal(fixture.storage.queryChains({ parent: sessionId }), NotFoundError, 'STORAGE_NOT_FOUND')
      await refusal(fixture.storage.querySteps({ parent: chainId }), NotFoundError, 'STORAGE_NOT_FOUND')
    })

    it.each([
      ['querySessions', { parent: '' }, ['parent']],
      ['querySessions', {}, ['parent']],
      ['querySessions', { parent: 'u', state: 'failed' }, ['state']],
      ['querySessions', { parent: 'u', limit: 0 }, ['limit']],
      ['querySessions', { parent: 'u', limit: 1001 }, ['limit']],
      ['querySessions', { parent: 'u', cursor: 'nonsense' }, ['cursor']],
      ['querySessions', { parent: 'u', fields: ['stepId'] }, ['fields', 0]],
      ['querySessions', { parent: 'u', createdAfter: 'yesterday' }, ['createdAfter']],
      ['queryChains', { parent: 'u' }, ['parent']],
      ['querySteps', { parent: 'ses_00000000000000000000' }, ['parent']],
    ])('refuse %s(%j)', async (method, query, path) => {
      const asked = fixture.storage[method as 'querySessions'](query as { parent: string })
      expect(await invalidPaths(asked)).toEqual([path])
    })
  })

  describe('waiting for the end of a chain', () => {
    const fixture = useFixture(subject)

    it.each(['completed', 'failed', 'cancelled'] as const)(
      'gives the chain when it is %s',
      async (status) => {
        const chain = await fixture.chain()
        const waiting = fixture.storage.waitForTerminal(chain.chainId)
        if (status === 'completed')
          await fixture.storage.updateChain(chain.chainId, { status: 'in_progress' })
        await fixture.storage.updateChain(chain.chainId, { status })
        expect(await waiting).toMatchObject({ chainId: chain.chainId, status })
        expect(await fixture.storage.waitForTerminal(chain.chainId)).toMatchObject({ status })
      },
    )

    it('ends with the signal, with its deadline, and with the chain', async () => {
      const { chainId } = await fixture.chain()
      const controller = new AbortController()
      const aborted = fixture.storage.waitForTerminal(chainId, { signal: controller.signal })
      controller.abort(new Error('enough'))
      await expect(aborted).rejects.toThrow('enough')
      await refusal(
        fixture.storage.waitForTerminal(chainId, { timeoutMs: 20 }),
        TimeoutError,
        'STORAGE_TIMEOUT',
      )
      const waiting = fixture.storage.waitForTerminal(chainId)
      await fixture.storage.deleteChain(chainId)
      await refusal(waiting, NotFoundError, 'STORAGE_NOT_FOUND')
      expect(await invalidPaths(fixture.storage.waitForTerminal('nonsense'))).toEqual([['chainId']])
    })
  })
}
