import { afterAll } from 'vitest'
import { testStorage } from './behavior/suite.js'
import { openStorage, RedisAdapter } from './support/flowkeep.js'
import { census, rawClient, redisUrl, sweepAll, uniquePrefix } from './support/redis.js'

const url = redisUrl()
const client = rawClient(url)
const prefixes: string[] = []

/** Every storage gets a prefix of its own, so that no test sees another's records. */
function freshPrefix(): string {
  const prefix = uniquePrefix()
  prefixes.push(prefix)
  return prefix
}

afterAll(async () => {
  await sweepAll(client, prefixes)
  client.disconnect()
})

const keys = () => census(client, prefixes.at(-1) ?? '')

testStorage({
  name: 'redis, as openStorage gives it',
  open: (options = {}) => openStorage({ prefix: freshPrefix(), ...options, backend: 'redis', url }),
  keys,
})

testStorage({
  name: 'RedisAdapter',
  open: (options) => Promise.resolve(new RedisAdapter(url, { prefix: freshPrefix(), ...options })),
  keys,
})
