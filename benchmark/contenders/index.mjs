/** Who takes part. A family counts once in a row of the table, with its fastest member. */
import * as flowkeep from './flowkeep.mjs'
import { glide } from './glide.mjs'
import { ioredis } from './ioredis.mjs'
import * as memory from './memory.mjs'
import { nodeRedis } from './node-redis.mjs'
import { creatingByScript, RedisPeer } from './redis.mjs'

/** @typedef {import('./model.mjs').Store} Store */
/** @typedef {import('./redis.mjs').Driver} Driver */
/** @typedef {{ url: string, prefix: string }} Place where a Redis contender keeps its keys */
/** @typedef {'memory' | 'redis'} Backend */

/**
 * @typedef {object} Contender
 * @property {string} name
 * @property {string} family
 * @property {Backend} backend
 * @property {RegExp} [scenarios] those it plays; all of its backend by default
 * @property {(place: Place) => Store | Promise<Store>} open
 */

/** The one that is compared with the others. */
export const OURS = 'flowkeep'

/**
 * @param {string} family
 * @param {string} name
 * @param {(url: string) => Promise<Driver>} connect
 * @returns {Contender}
 */
const redisPeer = (family, name, connect) => ({
  name,
  family,
  backend: 'redis',
  open: async ({ url, prefix }) => new RedisPeer(await connect(url), prefix),
})

/**
 * A peer that creates by script instead of MULTI: the better of the two counts.
 * @param {Contender['family']} family
 * @param {string} name
 * @param {(url: string) => Promise<Driver>} connect
 * @returns {Contender}
 */
const scripted = (family, name, connect) => ({
  ...redisPeer(family, `${name} script`, async (url) => creatingByScript(await connect(url))),
  scenarios: /^redis\.create$/,
})

/** @type {Contender[]} */
export const CONTENDERS = [
  { name: OURS, family: OURS, backend: 'memory', open: flowkeep.openMemory },
  {
    name: 'Map + zod, own object',
    family: 'Map + zod, own object',
    backend: 'memory',
    open: memory.openShared,
  },
  { name: 'Map + zod, cloned', family: 'Map + zod, cloned', backend: 'memory', open: memory.openCloned },
  { name: OURS, family: OURS, backend: 'redis', open: ({ url, prefix }) => flowkeep.openRedis(url, prefix) },
  redisPeer('ioredis', 'ioredis 6', ioredis('ioredis', false)),
  redisPeer('ioredis', 'ioredis 6 auto', ioredis('ioredis', true)),
  redisPeer('ioredis', 'ioredis 5', ioredis('ioredis-5', false)),
  redisPeer('ioredis', 'ioredis 5 auto', ioredis('ioredis-5', true)),
  redisPeer('node-redis', 'node-redis 6', nodeRedis('redis')),
  redisPeer('node-redis', 'node-redis 5', nodeRedis('redis-5')),
  redisPeer('glide', 'valkey-glide', glide),
  scripted('ioredis', 'ioredis 5 auto', ioredis('ioredis-5', true)),
  scripted('node-redis', 'node-redis 5', nodeRedis('redis-5')),
  scripted('glide', 'valkey-glide', glide),
]
