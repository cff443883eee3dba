import { describe, expect, it } from 'vitest'
import { ConflictError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { until } from '../support/until.js'
import { existing, type Subject, useFixture } from './fixture.js'

/** What is archived becomes small, and nobody notices. */
export function compact(subject: Subject): void {
  describe('an archive that a sweep has made small', () => {
    const fixture = useFixture(subject, { sweepSeconds: 0 })

    /** Sweeps until the one chain that was archived lately is small. */
    const untilSmall = () =>
      until(async () => (await fixture.storage.sweep()).compacted === 1, 'it was made small', 20_000)

    /** A chain of six steps that are alike, the last one failed, made small. */
    async function small() {
      const { storage } = fixture
      const { sessionId, userId } = await fixture.session()
      const { chainId } = await storage.createChain(sessionId, { title: 'many' })
      const steps: string[] = []
      for (let n = 0; n < 6; n++) {
        const inputs = { n, text: 'ü{}\u0000"\\'.repeat(20), deep: [[n]] }
        steps.push((await storage.createStep(chainId, { action: `Step ${n}`, inputs })).stepId)
      }
      for (const [n, stepId] of steps.entries())
        await fixture.moveStep(stepId, n < 5 ? 'completed' : 'failed')
      const before = [await storage.getChain(chainId), await storage.listSteps(chainId)]
      await untilSmall()
      return { sessionId, userId, chainId, steps, before }
    }

    it('is served as before by every read', async () => {
      const { storage } = fixture
      const { sessionId, chainId, steps, before } = await small()
      expect([await storage.getChain(chainId), await storage.listSteps(chainId)]).toEqual(before)
      const kept = before[1] as unknown[]
      for (const [n, stepId] of steps.entries()) expect(await storage.getStep(stepId)).toEqual(kept[n])
      expect((await storage.querySteps({ parent: chainId, status: 'failed' })).items).toEqual([kept[5]])
      expect(await storage.listChains(sessionId, { archived: 'only' })).toEqual([before[0]])
      expect(await storage.getStep(`${existing(steps[0]).slice(0, -1)}z`)).toBeNull()
      const late = storage.updateStep(existing(steps[0]), { result: 1 })
      const error = await refusal(late, ConflictError, 'STORAGE_ARCHIVED')
      expect((error as ConflictError).current).toEqual(kept[0])
    })

    it('is revived by a retry, with everything that it was', async () => {
      const { storage } = fixture
      const { sessionId, chainId, steps, before } = await small()
      const retried = await storage.updateStep(existing(steps[5]), { status: 'in_progress' })
      const kept = (before[1] as unknown[]).slice(0, 5)
      expect(await storage.listSteps(chainId)).toEqual([...kept, retried])
      await storage.updateStep(existing(steps[5]), { status: 'completed' })
      expect(existing(await storage.getChain(chainId)).archivedAt).toBeInstanceOf(Date)
      expect((await storage.listSteps(chainId)).slice(0, 5)).toEqual(kept)
      const again = await storage.listSteps(chainId)
      await untilSmall()
      expect(await storage.listSteps(chainId)).toEqual(again)
      expect((await storage.replay(sessionId)).steps).toEqual(again)
    })

    it('is deleted without a trace', async () => {
      const { storage } = fixture
      const before = new Set((await subject.keys?.()) ?? [])
      const { userId, chainId, steps } = await small()
      await storage.deleteChain(chainId)
      expect(await storage.getStep(existing(steps[0]))).toBeNull()
      await storage.eraseUser(userId)
      expect(((await subject.keys?.()) ?? []).filter((key) => !before.has(key))).toEqual([])
    })
  })
}
