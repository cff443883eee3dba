/**
 * Chains and steps of the Redis peer: hashes, one hand-written script for each operation, one round trip. A script moves
 * the step, rolls the move up into its chain's counts and status, and appends the event.
 */
import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import { TTL_MS } from './model.mjs'

const text = z.string().min(1).max(500)
const status = z.enum(['pending', 'in_progress', 'completed', 'failed'])

const ChainData = z.strictObject({ title: text })
const StepData = z.strictObject({ action: text, inputs: z.record(z.string(), z.unknown()).default({}) })
const StepUpdate = z.strictObject({ status, error: z.string().max(10_000).optional() })

/** A stored step, as it is read back. */
const Step = z.object({
  stepId: text,
  action: text,
  inputs: z.record(z.string(), z.unknown()),
  status,
  error: z.string().optional(),
  createdAt: z.coerce.date(),
  updatedAt: z.coerce.date(),
  version: z.coerce.number().min(1),
})

/** The life of a key, the record's id and the time come first in ARGV; KEYS are the record, what it is in, its index, its events. */
export const STEP_SCRIPTS = {
  addChain: {
    keys: 4,
    lua: `
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'title', ARGV[4], 'status', 'pending', 'pending', 0, 'in_progress', 0, 'completed', 0,
  'failed', 0, 'createdAt', ARGV[3], 'updatedAt', ARGV[3], 'version', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[3], ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[4], '*', 'type', 'chain:created', 'chainId', ARGV[2])
return 1`,
  },
  addStep: {
    keys: 4,
    lua: `
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'action', ARGV[4], 'inputs', ARGV[5], 'status', 'pending', 'createdAt', ARGV[3],
  'updatedAt', ARGV[3], 'version', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[2], 'pending', 1)
redis.call('HINCRBY', KEYS[2], 'version', 1)
redis.call('HSET', KEYS[2], 'updatedAt', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[3], ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[4], '*', 'type', 'step:created', 'stepId', ARGV[2])
return 1`,
  },
  moveStep: {
    keys: 3,
    lua: `
local from, to = redis.call('HGET', KEYS[1], 'status'), ARGV[4]
if not from then return {} end
local may = { pending = 'in_progress', in_progress = 'completed failed', failed = 'in_progress', completed = '' }
if not string.find(may[from], to, 1, true) then return redis.error_reply('TRANSITION ' .. from) end
redis.call('HSET', KEYS[1], 'status', to, 'error', ARGV[5], 'updatedAt', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[2], from, -1)
redis.call('HINCRBY', KEYS[2], to, 1)
redis.call('HINCRBY', KEYS[2], 'version', 1)
local counts = redis.call('HMGET', KEYS[2], 'pending', 'in_progress', 'failed')
local status = 'completed'
if tonumber(counts[1]) + tonumber(counts[2]) > 0 then status = 'in_progress'
elseif tonumber(counts[3]) > 0 then status = 'failed' end
redis.call('HSET', KEYS[2], 'status', status, 'updatedAt', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('XADD', KEYS[3], '*', 'type', 'step:updated', 'stepId', ARGV[2], 'status', to)
return redis.call('HGETALL', KEYS[1])`,
  },
}

/** @typedef {(script: keyof typeof STEP_SCRIPTS, keys: string[], args: string[]) => Promise<unknown>} Run */

/** An id names what it is in: `<session>/<chain>/<step>`. @param {string} id */
const parentOf = (id) => id.slice(0, id.lastIndexOf('/'))

export class StepsPeer {
  #run
  #prefix

  /** @param {Run} run @param {string} prefix */
  constructor(run, prefix) {
    this.#run = run
    this.#prefix = prefix
  }

  /** @param {string} sessionId @param {{ title: string }} data */
  async createChain(sessionId, data) {
    const { title } = ChainData.parse(data)
    const chainId = `${sessionId}/${randomUUID()}`
    const now = new Date()
    const keys = [this.#key(chainId), this.#session(sessionId), `${this.#key(sessionId)}:chains`]
    await this.#run('addChain', [...keys, this.#events(sessionId)], [...args(chainId, now), title])
    return { chainId, sessionId, title, status: 'pending', createdAt: now, updatedAt: now, version: 1 }
  }

  /** @param {string} chainId @param {{ action: string, inputs?: Record<string, unknown> }} data */
  async createStep(chainId, data) {
    const { action, inputs } = StepData.parse(data)
    const stepId = `${chainId}/${randomUUID()}`
    const now = new Date()
    const keys = [this.#key(stepId), this.#key(chainId), `${this.#key(chainId)}:steps`]
    await this.#run(
      'addStep',
      [...keys, this.#events(parentOf(chainId))],
      [...args(stepId, now), action, JSON.stringify(inputs)],
    )
    return { stepId, chainId, action, inputs, status: 'pending', createdAt: now, updatedAt: now, version: 1 }
  }

  /** @param {string} stepId @param {{ status: string, error?: string }} updates */
  async updateStep(stepId, updates) {
    const { status, error = '' } = StepUpdate.parse(updates)
    const chainId = parentOf(stepId)
    const keys = [this.#key(stepId), this.#key(chainId), this.#events(parentOf(chainId))]
    const found = await this.#run('moveStep', keys, [...args(stepId, new Date()), status, error])
    const fields = /** @type {Record<string, string>} */ (pairs(/** @type {string[]} */ (found)))
    if (fields.action === undefined) throw new Error('not found')
    return Step.parse({ ...fields, stepId, inputs: JSON.parse(fields.inputs ?? '{}') })
  }

  /** @param {string} id */
  #key(id) {
    return `${this.#prefix}tree:${id}`
  }

  /** @param {string} id */
  #session(id) {
    return `${this.#prefix}session:${id}`
  }

  /** @param {string} sessionId */
  #events(sessionId) {
    return `${this.#prefix}session:${sessionId}:events`
  }
}

/** @param {string} id @param {Date} now */
const args = (id, now) => [String(TTL_MS), id, now.toISOString()]

/** @param {string[]} list names and values in turn */
function pairs(list) {
  /** @type {Record<string, string>} */
  const fields = {}
  for (let at = 0; at + 1 < list.length; at += 2) fields[list[at] ?? ''] = list[at + 1] ?? ''
  return fields
}
