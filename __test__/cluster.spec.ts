// The whole contract on a Cluster.
import { afterAll, beforeAll } from 'vitest'
import { type ClusterServers, startCluster } from '../scripts/topologies.mjs'
import { testStorage } from './behavior/suite.js'
import { RedisAdapter } from './support/flowkeep.js'
import { uniquePrefix } from './support/redis.js'

let servers: ClusterServers

beforeAll(async () => {
  servers = await startCluster({ password: 'for-the-nodes' })
})

afterAll(() => servers.stop())

testStorage({
  name: 'RedisAdapter on a Cluster',
  open: async (options) => new RedisAdapter(servers.url, { prefix: uniquePrefix(), ...options }),
})
