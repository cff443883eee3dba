import { afterAll } from 'vitest'
import { testBreakers } from './behavior/breakers.js'
import { openStorage } from './support/flowkeep.js'
import { rawClient, redisUrl, sweepAll, uniquePrefix } from './support/redis.js'

const client = rawClient(redisUrl())
const prefixes: string[] = []

afterAll(async () => {
  await sweepAll(client, prefixes)
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
