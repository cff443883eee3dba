// The whole contract on a master that sentinels name.
import { afterAll, beforeAll } from 'vitest'
import { type Sentinels, startSentinel } from '../scripts/topologies.mjs'
import { testStorage } from './behavior/suite.js'
import { RedisAdapter } from './support/flowkeep.js'
import { uniquePrefix } from './support/redis.js'

let servers: Sentinels

beforeAll(async () => {
  servers = await startSentinel({ password: 'for-the-servers', secret: 'for-the-sentinels' })
})

afterAll(() => servers.stop())

testStorage({
  name: 'RedisAdapter with Sentinel',
  open: async (options) => new RedisAdapter(servers.url, { prefix: uniquePrefix(), ...options }),
})
