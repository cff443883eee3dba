import { afterAll } from 'vitest'
import { testBreakers } from './behavior/breakers.js'
import { openStorage } from './support/flowkeep.js'
import { rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'

const client = rawClient(redisUrl())
const prefixes: string[] = []

afterAll(async () => {
  for (const prefix of prefixes) await sweep(client, prefix)
  client.disconnect()
})

testBreakers({ name: 'memory', open: () => openStorage({ backend: 'memory' }) })

testBreakers({
  name: 'Redis',
  open: (options = {}) => {
    const prefix = uniquePrefix()
    prefixes.push(prefix)
    return openStorage({ prefix, ...options, backend: 'redis', url: redisUrl() })
  },
})
