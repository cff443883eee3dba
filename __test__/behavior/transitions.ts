import { describe, expect, it } from 'vitest'
import { ConflictError } from '../support/flowkeep.js'
import { refusal } from '../support/refusal.js'
import { type Fixture, type Subject, useFixture } from './fixture.js'
import { type AnyRecord, chainKind, field, idOf, type Kind, sessionKind, stepKind, stored } from './kinds.js'

/** For each status, the statuses that may follow it, with the type of the event that says so. */
type Moves = Readonly<Record<string, Readonly<Record<string, string>>>>

interface Machine {
  kind: Kind
  moves: Moves
  reach(fixture: Fixture, status: string): Promise<AnyRecord>
}

const machines: readonly Machine[] = [
  {
    kind: sessionKind,
    moves: {
      active: { paused: 'session:paused', completed: 'session:completed' },
      paused: { active: 'session:resumed', completed: 'session:completed' },
      completed: {},
    },
    reach: (fixture, state) => fixture.sessionIn(state as 'active'),
  },
  {
    kind: chainKind,
    moves: {
      pending: { in_progress: 'chain:started', cancelled: 'chain:cancelled', failed: 'chain:failed' },
      in_progress: { completed: 'chain:completed', failed: 'chain:failed', cancelled: 'chain:cancelled' },
      failed: { in_progress: 'chain:started' },
      completed: {},
      cancelled: {},
    },
    reach: (fixture, status) => fixture.chainIn(status as 'pending'),
  },
  {
    kind: stepKind,
    moves: {
      pending: { in_progress: 'step:started', skipped: 'step:skipped', failed: 'step:failed' },
      in_progress: { completed: 'step:completed', failed: 'step:failed', skipped: 'step:skipped' },
      failed: { in_progress: 'step:retried' },
      completed: {},
      skipped: {},
    },
    reach: (fixture, status) => fixture.stepIn(status as 'pending'),
  },
]

const rows = machines.flatMap((machine) => {
  const statuses = Object.keys(machine.moves)
  return statuses.flatMap((from) =>
    statuses.map((to) => ({ machine, name: machine.kind.name, from, to, event: machine.moves[from]?.[to] })),
  )
})

/** Every pair of statuses: the allowed moves, the present status again, and the refused ones. */
export function transitions(subject: Subject): void {
  describe('transitions', () => {
    const fixture = useFixture(subject)
    const prefix = (kind: Kind) => `${kind.name.toLowerCase()}:`

    it.each(rows.filter((row) => row.event !== undefined))('$name: $from -> $to is allowed', async (row) => {
      const { kind } = row.machine
      const before = await row.machine.reach(fixture, row.from)
      const update = { [kind.status]: row.to, [kind.text]: `now ${row.to}` }
      const types = await fixture.typesOf(before.sessionId, async () => {
        const after = await kind.update(fixture.storage, idOf(kind, before), update)
        expect(after).toMatchObject({ ...update, version: before.version + 1 })
      })
      const archived = kind.name === 'Chain' && ['completed', 'failed', 'cancelled'].includes(row.to)
      const expected = archived ? ['chain:archived', row.event] : [row.event]
      expect(types.filter((type) => type.startsWith(prefix(kind)))).toEqual(expected)
    })

    it.each(rows.filter((row) => row.from === row.to))('$name: $from again changes nothing', async (row) => {
      const { kind } = row.machine
      const before = await row.machine.reach(fixture, row.from)
      const types = await fixture.typesOf(before.sessionId, async () => {
        const after = await kind.update(fixture.storage, idOf(kind, before), { [kind.status]: row.to })
        expect(after).toEqual(before)
      })
      expect(types).toEqual([])
    })

    const refused = rows.filter((row) => row.event === undefined && row.from !== row.to)
    it.each(refused)('$name: $from -> $to is refused', async (row) => {
      const { kind } = row.machine
      const before = await row.machine.reach(fixture, row.from)
      const id = idOf(kind, before)
      const types = await fixture.typesOf(before.sessionId, async () => {
        const update = kind.update(fixture.storage, id, { [kind.status]: row.to, [kind.text]: 'lost' })
        const error = await refusal(update, ConflictError, 'STORAGE_TRANSITION')
        expect(error).toMatchObject({ from: row.from, to: row.to, outcome: 'not-applied', retryable: false })
        expect(error.current).toEqual(before)
      })
      expect(types).toEqual([])
      expect(field(await stored(kind, fixture, id), kind.text)).not.toBe('lost')
    })

    it.each(machines)('$kind.name: a status of another record is not one', async ({ kind, reach, moves }) => {
      const before = await reach(fixture, Object.keys(moves)[0] ?? '')
      const update = kind.update(fixture.storage, idOf(kind, before), { [kind.status]: 'archived' })
      await expect(update).rejects.toMatchObject({
        code: 'STORAGE_INVALID',
        issues: [{ path: [kind.status] }],
      })
    })
  })
}
