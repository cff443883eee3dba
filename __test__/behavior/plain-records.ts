import { inspect, isDeepStrictEqual } from 'node:util'
import { describe, expect, it } from 'vitest'
import { existing, type Fixture, type Subject, useFixture } from './fixture.js'

const json = { list: [1, { deep: ['x'] }], text: 'visible-value', none: null }

/** One record of each kind, as each way of getting it gives it. */
async function samples(fixture: Fixture): Promise<Map<string, Record<string, unknown>>> {
  const { storage } = fixture
  const session = await fixture.session({ title: 'a title', tags: ['a tag'], metadata: json })
  const chain = await storage.createChain(session.sessionId, {
    title: 'a title',
    summary: 'short',
    metadata: json,
  })
  const step = await storage.createStep(chain.chainId, { action: 'an action', model: 'm', inputs: json })
  const event = await storage.appendEvent(session.sessionId, { type: 'custom:sample', data: json })
  const found = {
    'created session': session,
    'created chain': chain,
    'created step': step,
    'appended event': event,
    'read session': await storage.getSession(session.sessionId),
    'read chain': await storage.getChain(chain.chainId),
    'read step': await storage.getStep(step.stepId),
    'listed session': (await storage.listSessions(session.userId))[0],
    'listed chain': (await storage.listChains(session.sessionId))[0],
    'listed step': (await storage.listSteps(chain.chainId))[0],
    'listed event': (await storage.events({ sessionId: session.sessionId, types: ['custom:sample'] }))
      .items[0],
    'updated step': await storage.updateStep(step.stepId, {
      status: 'in_progress',
      result: json,
      error: 'none',
    }),
    'updated chain': await storage.updateChain(chain.chainId, { summary: 'longer' }),
    'updated session': await storage.updateSession(session.sessionId, { title: 'another' }),
    'touched session': await storage.touchSession(session.sessionId),
  }
  return new Map(
    Object.entries(found).map(([name, record]) => [
      name,
      existing(record) as unknown as Record<string, unknown>,
    ]),
  )
}

const names = [
  ...['created session', 'created chain', 'created step', 'appended event'],
  ...[
    'read session',
    'read chain',
    'read step',
    'listed session',
    'listed chain',
    'listed step',
    'listed event',
  ],
  ...['updated step', 'updated chain', 'updated session', 'touched session'],
]

/** Every object that can be reached from a value. */
function reachable(value: unknown, found = new Set<object>()): Set<object> {
  if (typeof value !== 'object' || value === null || found.has(value)) return found
  found.add(value)
  for (const key of Reflect.ownKeys(value)) reachable(Reflect.get(value, key), found)
  return found
}

/** A record is a plain frozen object, whichever call gave it, and whether or not it was looked at before. */
export function plainRecords(subject: Subject): void {
  describe.each(names)('a plain object: %s', (name) => {
    const fixture = useFixture(subject)
    const sample = async () => existing((await samples(fixture)).get(name))
    const jsonOf = (record: Record<string, unknown>) => record.metadata ?? record.inputs ?? record.data

    it('has its fields as its own, enumerable values', async () => {
      const record = await sample()
      expect(Object.getPrototypeOf(record)).toBe(Object.prototype)
      expect(Reflect.ownKeys(record)).toEqual(Object.keys(record))
      expect(Object.keys(record)).toEqual(expect.arrayContaining(['sessionId']))
      for (const key of Object.keys(record)) expect(record[key]).toBeDefined()
      expect(Object.keys(record)).not.toContain('toJSON')
    })

    it('can be spread and assigned', async () => {
      const record = await sample()
      expect({ ...record }).toEqual(record)
      const copy = Object.assign({}, record, { extra: 1 })
      expect(copy).toEqual({ ...record, extra: 1 })
      expect(jsonOf(copy)).toEqual(json)
      const { sessionId, ...rest } = record
      expect({ sessionId, ...rest }).toEqual(record)
    })

    it('becomes JSON with ISO times', async () => {
      const record = await sample()
      const parsed = JSON.parse(JSON.stringify(record)) as Record<string, unknown>
      expect(Object.keys(parsed)).toEqual(Object.keys(record))
      for (const [key, value] of Object.entries(record)) {
        expect(parsed[key]).toEqual(value instanceof Date ? value.toISOString() : value)
      }
    })

    it('can be cloned and compared', async () => {
      const record = await sample()
      const clone = structuredClone(record)
      expect(clone).toEqual(record)
      expect(record).toStrictEqual(clone)
      expect(isDeepStrictEqual(clone, record)).toBe(true)
      expect(isDeepStrictEqual({ ...clone, sessionId: 'other' }, record)).toBe(false)
    })

    it('is printed with its values', async () => {
      const text = inspect(await sample(), { depth: 10 })
      expect(text).toContain('visible-value')
      expect(text).toContain("deep: [ 'x' ]")
      expect(text).not.toMatch(/Getter|Proxy|\[Object\]/)
    })

    it('is frozen all the way down', async () => {
      const record = await sample()
      for (const object of reachable(record)) {
        if (!(object instanceof Date)) expect(Object.isFrozen(object)).toBe(true)
      }
      expect(() => Object.assign(record, { sessionId: 'x' })).toThrow(TypeError)
      expect(() => Object.assign(jsonOf(record) as object, { text: 'x' })).toThrow(TypeError)
      expect(jsonOf(record)).toEqual(json)
    })

    it('has real dates', async () => {
      const record = await sample()
      for (const key of ['createdAt', 'updatedAt', 'expiresAt', 'startedAt', 'at']) {
        if (!(key in record)) continue
        expect(record[key]).toBeInstanceOf(Date)
        expect(Number.isInteger((record[key] as Date).getTime())).toBe(true)
      }
    })
  })

  describe('a date of a record', () => {
    const fixture = useFixture(subject)

    it('is the caller’s own: to change it changes no later answer', async () => {
      const created = await fixture.session()
      const time = created.createdAt.getTime()
      created.createdAt.setTime(0)
      for (let i = 0; i < 2; i++) {
        const read = existing(await fixture.storage.getSession(created.sessionId))
        expect(read.createdAt.getTime()).toBe(time)
        read.createdAt.setTime(0)
      }
    })
  })
}
