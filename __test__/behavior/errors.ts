import { describe, expect, it } from 'vitest'
import * as flowkeep from '../support/flowkeep.js'
import { refusal, rejection } from '../support/refusal.js'
import { type Fixture, type Subject, useFixture } from './fixture.js'

const { ConflictError, NotFoundError, StorageError, ValidationError } = flowkeep

/** One way to each kind of error that needs no trouble with the backend. */
const ways: readonly {
  name: string
  type: typeof StorageError
  code: string
  operation: string
  cause(fixture: Fixture): Promise<Promise<unknown>[]>
}[] = [
  {
    name: 'ValidationError',
    type: ValidationError,
    code: 'STORAGE_INVALID',
    operation: 'createChain',
    cause: async (f) => [f.storage.createChain((await f.session()).sessionId, { title: '' })],
  },
  {
    name: 'NotFoundError',
    type: NotFoundError,
    code: 'STORAGE_NOT_FOUND',
    operation: 'updateSession',
    cause: async (f) => {
      const { sessionId } = await f.session()
      await f.storage.deleteSession(sessionId)
      return [f.storage.updateSession(sessionId, {})]
    },
  },
  {
    name: 'ConflictError',
    type: ConflictError,
    code: 'STORAGE_CONFLICT',
    operation: 'updateStep',
    cause: async (f) => [f.storage.updateStep((await f.step()).stepId, { action: 'x' }, { ifVersion: 9 })],
  },
  {
    name: 'ConflictError',
    type: ConflictError,
    code: 'STORAGE_TRANSITION',
    operation: 'updateChain',
    cause: async (f) => [f.storage.updateChain((await f.chain()).chainId, { status: 'completed' })],
  },
]

/** Errors: one base class, stable fields, every issue at once, no secrets. */
export function errors(subject: Subject): void {
  describe('errors', () => {
    const fixture = useFixture(subject)

    it.each(ways)(
      '$code is a $name with the fields of every error',
      async ({ name, type, code, operation, cause }) => {
        const [call] = await cause(fixture)
        const error = await refusal(call as Promise<unknown>, type, code)
        expect(error).toBeInstanceOf(Error)
        expect(error).toMatchObject({ name, code, operation, retryable: false, outcome: 'not-applied' })
        expect(Number.isInteger(error.attempts)).toBe(true)
        expect(error.message.length).toBeGreaterThan(5)
        expect(String(error)).toContain(error.message)
        expect(error.stack).toContain(error.message)
      },
    )

    it('are one family', () => {
      const classes = Object.entries(flowkeep).filter(
        ([name]) => name.endsWith('Error') && name !== 'StorageError',
      )
      expect(classes.map(([name]) => name).sort()).toEqual([
        ...[
          'CapacityError',
          'CircuitOpenError',
          'ClosedError',
          'ConfigError',
          'ConflictError',
          'CorruptError',
        ],
        ...['NotFoundError', 'TimeoutError', 'UnavailableError', 'UnsupportedError', 'ValidationError'],
      ])
      for (const [, type] of classes)
        expect((type as typeof StorageError).prototype).toBeInstanceOf(StorageError)
      expect(StorageError.prototype).toBeInstanceOf(Error)
    })

    it('of validation name every fault at once, and store nothing', async () => {
      const { sessionId } = await fixture.session()
      const data = { title: '', source: 'nowhere', metadata: [], extra: 1, summary: 'x'.repeat(2001) }
      const create = fixture.storage.createChain(sessionId, data as unknown as flowkeep.ChainData)
      const error = await refusal(create, ValidationError, 'STORAGE_INVALID')
      const paths = error.issues.map((issue) => issue.path.join('.')).sort()
      expect(paths).toEqual(['', 'metadata', 'source', 'summary', 'title'])
      for (const issue of error.issues) {
        expect(issue.code).toMatch(/^[a-z_]+$/)
        expect(issue.message.length).toBeGreaterThan(5)
      }
      expect(error.issues.find((issue) => issue.path.length === 0)).toMatchObject({
        code: 'unrecognized_keys',
      })
      expect(await fixture.storage.listChains(sessionId)).toEqual([])
    })

    it.each([
      ['unrecognized_keys', { titel: 'x' }, []],
      ['invalid_type', { title: 5 }, ['title']],
      ['too_small', { title: '' }, ['title']],
      ['too_big', { title: 'x'.repeat(501) }, ['title']],
      ['too_big', { tags: Array.from({ length: 33 }, (_, i) => `${i}`) }, ['tags']],
      ['too_big', { tags: ['ok', 'x'.repeat(65)] }, ['tags', 1]],
      ['invalid_type', { tags: 'x' }, ['tags']],
      ['invalid_type', { metadata: null }, ['metadata']],
    ])('of validation have zod’s codes and paths: %s for %j', async (code, data, path) => {
      const call = fixture.storage.createSession('ann', data as flowkeep.SessionData)
      const error = await refusal(call, ValidationError, 'STORAGE_INVALID')
      expect(error.issues).toMatchObject([{ code, path }])
    })

    it.each([
      ['title', { title: '\u{1F600}'.repeat(500) }],
      ['tags', { tags: Array.from({ length: 32 }, () => '\u{1F600}'.repeat(64)) }],
    ])('of length count code points: %s', async (_, data) => {
      expect(await fixture.session(data)).toMatchObject(data)
    })

    it('never show what was stored or given at length', async () => {
      const secret = 'pa55word-'.repeat(40)
      const { chainId } = await fixture.chain({ title: secret, summary: secret, metadata: { secret } })
      for (const call of [
        () => fixture.storage.updateChain(chainId, { title: secret }, { ifVersion: 5 }),
        () => fixture.storage.updateChain(chainId, { status: 'completed', summary: secret }),
        () => fixture.storage.updateChain(chainId, { source: secret as 'flow' }),
        () => fixture.storage.getChain(secret),
      ]) {
        const error = (await rejection(call())) as Error
        expect(error).toBeInstanceOf(StorageError)
        expect(`${error.message}${error.stack}`).not.toContain(secret.slice(0, 100))
      }
    })

    it('never come as a throw of the call itself', async () => {
      const storage = fixture.storage as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
      const names = [
        'createSession',
        'getChain',
        'updateStep',
        'deleteSession',
        'listSteps',
        'touchSession',
        'appendEvent',
        'events',
      ]
      for (const name of names) {
        const promise = storage[name]?.call(storage)
        expect(promise).toBeInstanceOf(Promise)
        await refusal(promise as Promise<unknown>, ValidationError, 'STORAGE_INVALID')
      }
    })
  })
}
