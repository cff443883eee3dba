// The addon in worker threads: created, used and terminated again and again, in a child process that may crash.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, describe, expect, it } from 'vitest'
import { MemoryStorage } from './support/flowkeep.js'
import { rawClient, redisUrl, sweep } from './support/redis.js'

const CYCLES = 50
const script = join(import.meta.dirname, 'workers/cycles.cjs')

afterAll(async () => {
  const client = rawClient(redisUrl())
  await sweep(client, 'workers:')
  client.disconnect()
})

async function cycles(manner: string, ...url: string[]) {
  const child = spawn(process.execPath, [script, `${CYCLES}`, manner, ...url])
  const texts = { stdout: '', stderr: '' }
  child.stdout.on('data', (text) => (texts.stdout += text))
  child.stderr.on('data', (text) => (texts.stderr += text))
  const [code, signal] = await once(child, 'close')
  return { ...texts, code, signal }
}

const survived = { stdout: `${CYCLES}\n`, stderr: '', code: 0, signal: null }

describe(`${CYCLES} workers, each terminated`, () => {
  it('idle, on memory', async () => expect(await cycles('idle')).toEqual(survived), 120_000)
  it('idle, on Redis', async () => expect(await cycles('idle', redisUrl())).toEqual(survived), 120_000)
  it('busy, on memory', async () => expect(await cycles('pending')).toEqual(survived), 120_000)
  it(
    'in the middle of Redis calls',
    async () => expect(await cycles('pending', redisUrl())).toEqual(survived),
    120_000,
  )
})

it('two threads of one process keep their memory apart', async () => {
  const here = new MemoryStorage()
  const { sessionId } = await here.createSession('both', {})
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { MemoryStorage } = require(${JSON.stringify(join(import.meta.dirname, '../dist/index.js'))})
    new MemoryStorage().getSession(workerData).then((found) => parentPort.postMessage(found === null))`
  const worker = new Worker(code, { eval: true, workerData: sessionId })
  expect(await once(worker, 'message')).toEqual([true])
  await worker.terminate()
  expect(await here.getSession(sessionId)).not.toBeNull()
  await here.close()
})
