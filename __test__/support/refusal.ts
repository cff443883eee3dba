import { expect } from 'vitest'
import { StorageError, ValidationError } from './flowkeep.js'

type Class<E extends Error> = abstract new (...args: never[]) => E

/** Waits for a rejection of the given class and code, and returns the error. */
export async function refusal<E extends StorageError>(
  promise: Promise<unknown>,
  type: Class<E>,
  code: string,
): Promise<E> {
  const error = await promise.then(
    (value) => {
      throw new Error(`expected ${code}, got an answer: ${JSON.stringify(value)?.slice(0, 200)}`)
    },
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(StorageError)
  expect(error).toMatchObject({ code })
  expect(error).toBeInstanceOf(type)
  return error as E
}

/** Waits for a `ValidationError` and returns the paths of its issues, in their order. */
export async function invalidPaths(promise: Promise<unknown>): Promise<(string | number)[][]> {
  const error = await refusal(promise, ValidationError, 'STORAGE_INVALID')
  return error.issues.map((issue) => [...issue.path] as (string | number)[])
}

/** The rejection of a promise, whatever it is. Fails when the promise gives an answer. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  let answer: unknown
  try {
    answer = await promise
  } catch (error) {
    return error
  }
  throw new Error(`expected a rejection, got an answer: ${JSON.stringify(answer)?.slice(0, 200)}`)
}
