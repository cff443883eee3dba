// TLS: the whole contract over it, and who is let in.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTls, type TlsServer } from '../scripts/topologies.mjs'
import { testStorage } from './behavior/suite.js'
import { ConfigError, RedisAdapter, type TlsOptions, UnavailableError } from './support/flowkeep.js'
import { uniquePrefix } from './support/redis.js'
import { refusal } from './support/refusal.js'

let server: TlsServer
let strict: TlsServer

beforeAll(async () => {
  ;[server, strict] = await Promise.all([startTls(), startTls({ asksClients: true })])
})

afterAll(() => Promise.all([server.stop(), strict.stop()]))

testStorage({
  name: 'RedisAdapter by TLS',
  open: async (options) =>
    new RedisAdapter(server.url, { prefix: uniquePrefix(), tls: { ca: server.ca }, ...options }),
})

describe('by TLS', () => {
  async function lists(url: string, tls?: TlsOptions): Promise<unknown> {
    await using storage = new RedisAdapter(url, tls ? { tls, timeoutMs: 1000 } : { timeoutMs: 1000 })
    return await storage.listSessions('ann')
  }

  const named = (url: string) => url.replace('127.0.0.1', 'localhost')

  it('a server that is trusted is let in, by its name and by its address', async () => {
    expect(await lists(server.url, { ca: server.ca })).toEqual([])
    expect(await lists(named(server.url), { ca: server.ca })).toEqual([])
    expect(await lists(server.url, { ca: server.ca, servername: 'localhost' })).toEqual([])
  })

  it('a server that nobody vouches for is not spoken to', async () => {
    for (const tls of [undefined, { ca: server.stranger }, { ca: server.ca, servername: 'other.example' }]) {
      const error = await refusal(lists(server.url, tls), UnavailableError, 'STORAGE_UNAVAILABLE')
      expect(error).toMatchObject({ outcome: 'not-applied' })
    }
  })

  it('unless the caller says so', async () => {
    expect(await lists(server.url, { rejectUnauthorized: false })).toEqual([])
  })

  it('a server that asks for our certificate gets it', async () => {
    const { ca, cert, key } = strict
    expect(await lists(strict.url, { ca, cert, key })).toEqual([])
    await refusal(lists(strict.url, { ca }), UnavailableError, 'STORAGE_UNAVAILABLE')
  })

  it.each([
    [{ ca: 5 }, 'tls.ca'],
    [{ caFile: '/x' }, 'tls'],
    [{ rejectUnauthorized: 'no' }, 'tls.rejectUnauthorized'],
    [{ key: 'hidden-word', cert: 'x' }, 'PEM'],
    ['yes', 'tls'],
  ])('options that are none are refused: %j', (tls, why) => {
    const open = () => new RedisAdapter('rediss://h', { tls: tls as TlsOptions })
    expect(open).toThrow(ConfigError)
    expect(open).toThrow(why)
    expect(open).not.toThrow('hidden-word')
  })

  it('options without TLS are refused: they would protect nothing', () => {
    expect(() => new RedisAdapter('redis://h', { tls: { ca: server.ca } })).toThrow('rediss://')
  })
})
