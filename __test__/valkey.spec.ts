// Valkey: the whole contract over it.
import { afterAll, beforeAll } from 'vitest'
import { startValkey } from '../scripts/valkey.mjs'
import { testStorage } from './behavior/suite.js'
import { RedisAdapter } from './support/flowkeep.js'
import { uniquePrefix } from './support/redis.js'

let server: Awaited<ReturnType<typeof startValkey>>

beforeAll(async () => {
  server = await startValkey()
})

afterAll(() => server.stop())

testStorage({
  name: 'RedisAdapter on Valkey',
  open: async (options) => new RedisAdapter(server.url, { prefix: uniquePrefix(), ...options }),
})
