// The example of a proxy's registry, family by family of what it keeps, on memory and on Redis.
import { ConflictError, type IStorage, MemoryStorage, RedisAdapter } from 'flowkeep'
import { afterAll, describe, expect, it } from 'vitest'
import { openRegistry } from '../examples/proxy-registry/index.mjs'
import { hourName } from '../examples/proxy-registry/requests.mjs'
import { census, rawClient, redisUrl, sweep, uniquePrefix } from './support/redis.js'
import { rejection } from './support/refusal.js'
import { until } from './support/until.js'

const url = redisUrl()
const client = rawClient(url)
const prefix = uniquePrefix()
const storages: IStorage[] = []

afterAll(async () => {
  await Promise.all(storages.map((storage) => storage.close()))
  await sweep(client, prefix)
  client.disconnect()
})

let places = 0
const kinds = {
  memory: () => new MemoryStorage(),
  Redis: () => new RedisAdapter(url, { prefix: `${prefix}${++places}:`, timeoutMs: 20_000 }),
}

describe.each(Object.entries(kinds))('a registry on %s', (_, open) => {
  const fresh = () => {
    const storage = open()
    storages.push(storage)
    return openRegistry(storage)
  }

  it('services: by name, by kind, and where they are', async () => {
    const { services } = fresh()
    await services.put({ name: 'api', url: 'https://api.example', kind: 'external', config: { tls: true } })
    await services.put({ name: 'web', url: 'http://web:80', kind: 'docker' })
    await services.put({ name: 'old', url: 'https://old.example', kind: 'external' })
    expect(await services.names('external')).toEqual(['api', 'old'])
    expect([await services.urlOf('web'), await services.urlOf('none')]).toEqual(['http://web:80', null])
    await services.put({ name: 'old', url: 'http://old:80', kind: 'docker' })
    expect([await services.names('external'), await services.names('docker')]).toEqual([
      ['api'],
      ['old', 'web'],
    ])
    await services.remove('api')
    expect([await services.names('external'), await services.get('api')]).toEqual([[], null])
  })

  it('certificates: by name, by each of their domains, with their bytes', async () => {
    const { certificates } = fresh()
    const bytes = Uint8Array.from({ length: 256 }, (_, n) => 255 - n)
    const certificate = {
      name: 'main',
      domains: ['example.com', '*.example.com'],
      fullchain: bytes,
      privateKey: Uint8Array.of(0, 10, 13),
      expiresAt: '2030-01-01',
    }
    await certificates.put(certificate)
    expect(await certificates.forHost('example.com')).toEqual(certificate)
    expect((await certificates.forHost('shop.example.com'))?.name).toBe('main')
    expect(await certificates.forHost('example.org')).toBeNull()
    const second = { ...certificate, name: 'second', domains: ['example.org', 'example.com'] }
    const error = (await rejection(certificates.put(second))) as ConflictError
    expect(error).toBeInstanceOf(ConflictError)
    expect(error.current).toEqual(certificate)
    expect(await certificates.forHost('example.org')).toBeNull()
    await certificates.put({ ...certificate, domains: ['*.example.com'] })
    await certificates.put(second)
    expect((await certificates.forHost('example.com'))?.name).toBe('second')
    await certificates.remove('second')
    expect(await certificates.forHost('example.com')).toBeNull()
  })

  it('the status of a certificate: for five minutes', async () => {
    const { certificates } = fresh()
    expect(await certificates.status('main')).toBeNull()
    await certificates.report({ name: 'main', status: 'pending' })
    await certificates.report({ name: 'main', status: 'failed', message: 'no answer' })
    expect(await certificates.status('main')).toEqual({
      name: 'main',
      status: 'failed',
      message: 'no answer',
    })
  })

  it('proxies: targets by host, and by certificate', async () => {
    const { targets } = fresh().proxies
    for (const [hostname, certificate] of [
      ['a.example', 'main'],
      ['b.example', 'main'],
      ['c.example', 'other'],
    ] as const) {
      await targets.create({ hostname, certificate, targetUrl: `http://${hostname}:3000`, enabled: true })
    }
    await targets.update('b.example', { enabled: false })
    const hosts = async (set: 'certificate' | 'enabled', value: string | boolean) =>
      (await targets.in(set, value)).items.map((target) => target.hostname)
    expect(await hosts('certificate', 'main')).toEqual(['a.example', 'b.example'])
    expect(await hosts('enabled', true)).toEqual(['a.example', 'c.example'])
    expect((await targets.get('b.example'))?.targetUrl).toBe('http://b.example:3000')
  })

  it('clients of the PROXY protocol: by both ports, which can not be confused', async () => {
    const { proxies } = fresh()
    await proxies.announce(443, 51_234, { ip: '192.0.2.1', port: 4_000 })
    await proxies.announce(4_435, 1_234, { ip: '192.0.2.2', port: 4_001 })
    expect((await proxies.clientOf(443, 51_234))?.ip).toBe('192.0.2.1')
    expect((await proxies.clientOf(4_435, 1_234))?.ip).toBe('192.0.2.2')
    expect(await proxies.clientOf(443, 1)).toBeNull()
    await proxies.announce(443, 51_234, { ip: '192.0.2.9', port: 4_002 })
    expect((await proxies.clientOf(443, 51_234))?.ip).toBe('192.0.2.9')
  })

  it('routes: no two of a path and a priority, the highest priority first', async () => {
    const { routes } = fresh()
    const made = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) =>
        routes.all.create({ id: `r${n}`, path: '/api', priority: 50, target: `t${n}` }),
      ),
    )
    expect(made.filter((one) => one.status === 'fulfilled')).toHaveLength(1)
    await routes.all.create({ id: 'all', path: '/', priority: 1, target: 'web' })
    await routes.all.create({ id: 'write', path: '/api', priority: 90, target: 'writer', methods: ['POST'] })
    expect((await routes.find('GET', '/api/users'))?.priority).toBe(50)
    expect((await routes.find('POST', '/api/users'))?.target).toBe('writer')
    expect((await routes.find('GET', '/index.html'))?.target).toBe('web')
    await routes.all.update('all', { priority: 100 })
    expect((await routes.find('POST', '/api'))?.target).toBe('web')
    await routes.all.delete('all')
    expect(await routes.find('GET', '/index.html')).toBeNull()
    expect((await routes.all.verify()).problems).toEqual([])
  })

  it('a route that stands behind many others is found', async () => {
    const { routes } = fresh()
    await Promise.all(
      Array.from({ length: 250 }, (_, n) =>
        routes.all.create({ id: `r${n}`, path: `/p${n}/`, priority: n, target: `t${n}` }),
      ),
    )
    expect((await routes.find('GET', '/p0/x'))?.target).toBe('t0')
  })

  it('ports: one owner each, and what a service listens on', async () => {
    const { ports } = fresh()
    await ports.claim({ port: 8_080, service: 'web', role: 'http' })
    const taken = (await rejection(
      ports.claim({ port: 8_080, service: 'api', role: 'http' }),
    )) as ConflictError
    expect(taken.current).toMatchObject({ port: 8_080, service: 'web' })
    const range = { from: 8_080, to: 8_099 }
    const given = await Promise.all(
      Array.from({ length: 12 }, (_, n) => ports.allocate({ service: `s${n}`, role: 'http' }, range)),
    )
    expect(new Set(given.map((port) => port?.port)).size).toBe(12)
    await ports.claim({ port: 9_090, service: 'web', role: 'metrics' })
    expect([...(await ports.of('web')).keys()].sort()).toEqual(['http', 'metrics'])
    expect(await rejection(ports.allocate({ service: 'web', role: 'http' }, range))).toBeInstanceOf(
      ConflictError,
    )
    expect(await ports.allocate({ service: 'late', role: 'http' }, { from: 8_080, to: 8_080 })).toBeNull()
    await ports.release(8_080)
    expect((await ports.of('web')).has('http')).toBe(false)
    expect((await ports.allocate({ service: 'late', role: 'http' }, range))?.port).toBe(8_080)
  })

  it('OAuth clients', async () => {
    const { clients } = fresh().oauth
    const made = { id: 'c1', name: 'dashboard', secretHash: 'x', redirectUris: ['https://a.example/cb'] }
    await clients.create(made)
    expect(await clients.get('c1')).toEqual(made)
    expect((await clients.in('redirectUris', 'https://a.example/cb')).items).toEqual([made])
    expect(await rejection(clients.create(made))).toBeInstanceOf(ConflictError)
  })

  it('OAuth states and codes: each is good for one', async () => {
    const { oauth } = fresh()
    await oauth.begin({ state: 's1', clientId: 'c1', redirectUri: 'https://a.example/cb' })
    const back = await Promise.all(Array.from({ length: 8 }, () => oauth.finish('s1')))
    expect(back.filter((login) => login !== null)).toHaveLength(1)
    await oauth.grant({ code: 'k1', clientId: 'c1', user: 'ada', redirectUri: 'https://a.example/cb' })
    const redeemed = await Promise.all(Array.from({ length: 8 }, () => oauth.redeem('k1')))
    expect(redeemed.filter((code) => code?.user === 'ada')).toHaveLength(1)
    expect(await oauth.redeem('k1')).toBeNull()
  })

  it('OAuth tokens: of each user, refreshed once, revoked alone or together', async () => {
    const { oauth } = fresh()
    const token = (jti: string, user: string) => ({ jti, user, clientId: 'c1', scopes: ['read'] })
    await oauth.issue(token('t1', 'ada'), 3_600, { hash: 'h1', seconds: 86_400 })
    await oauth.issue(token('t2', 'ada'), 3_600)
    await oauth.issue(token('t3', 'bob'), 3_600, { hash: 'h3', seconds: 86_400 })
    await oauth.issue(token('brief', 'ada'), 0.02)
    await expect.poll(() => oauth.token('brief')).toBeNull()
    expect(await oauth.tokensOf('ada')).toEqual(['t1', 't2'])
    const refreshed = await Promise.all(Array.from({ length: 5 }, () => oauth.refresh('h1')))
    expect(refreshed.filter((one) => one?.user === 'ada')).toHaveLength(1)
    expect([await oauth.token('t1'), await oauth.tokensOf('ada')]).toEqual([null, ['t2']])
    await oauth.revoke('t3')
    expect([await oauth.token('t3'), await oauth.refresh('h3')]).toEqual([null, null])
    await oauth.issue(token('t4', 'ada'), 3_600, { hash: 'h4', seconds: 86_400 })
    expect(await oauth.revokeAll('ada')).toBe(2)
    expect([await oauth.tokensOf('ada'), await oauth.refresh('h4')]).toEqual([[], null])
  })

  it('tokens: by name and by the hash of their secret', async () => {
    const { tokens } = fresh()
    const secret = await tokens.create('deploy', 'ada')
    expect((await tokens.bySecret(secret))?.name).toBe('deploy')
    expect(JSON.stringify(await tokens.byName('deploy'))).not.toContain(secret)
    expect(await rejection(tokens.create('deploy', 'bob'))).toBeInstanceOf(ConflictError)
    const renewed = await tokens.renew('deploy')
    expect([await tokens.bySecret(secret), (await tokens.bySecret(renewed))?.name]).toEqual([null, 'deploy'])
    await tokens.create('ci', 'ada')
    expect(await tokens.namesOf('ada')).toEqual(['ci', 'deploy'])
    await tokens.remove('deploy')
    expect([await tokens.byName('deploy'), await tokens.bySecret(renewed)]).toEqual([null, null])
  })

  it('resources: by their URI, whatever is in it', async () => {
    const { resources } = fresh()
    const uris = ['https://a.example/mcp', 'mcp://{x}:y/*?q=1#f', 'urn:a:b', 'urn:a%3Ab']
    for (const [n, uri] of uris.entries()) {
      await resources.create({ uri, proxy: `p${n}`, scopes: n % 2 ? ['read'] : ['read', 'write'] })
    }
    for (const [n, uri] of uris.entries()) expect((await resources.get(uri))?.proxy).toBe(`p${n}`)
    expect((await resources.in('scopes', 'write')).items).toHaveLength(2)
    expect((await resources.in('scopes', 'read')).items).toHaveLength(4)
  })
})

describe.each(Object.entries(kinds))('the workflow of a registry on %s', (_, open) => {
  const fresh = () => {
    const storage = open()
    storages.push(storage)
    return openRegistry(storage).workflow
  }
  const hosts = Array.from({ length: 24 }, (_, n) => `h${n}.example`)

  it('what is told is done once by one of several instances, and shows until then', async () => {
    const workflow = fresh()
    for (const host of hosts) await workflow.tell('proxy_created', host, { target: `http://${host}` })
    expect((await workflow.pending()).sort()).toEqual([...hosts].sort())
    expect(await workflow.state('h3.example')).toEqual({
      hostname: 'h3.example',
      last: 'proxy_created',
      pending: true,
    })
    const [controller, done] = [new AbortController(), [] as string[]]
    const { signal } = controller
    const instances = [0, 1, 2].map(() =>
      workflow.work(
        ({ type, hostname, data }) => {
          expect([type, data]).toEqual(['proxy_created', { target: `http://${hostname}` }])
          done.push(hostname)
        },
        { signal, concurrency: 4 },
      ),
    )
    await until(async () => (await workflow.pending()).length === 0, 'all of it is done', 30_000)
    await until(async () => (await workflow.inHand()) === 0, 'nothing is in hand any more', 30_000)
    controller.abort()
    await Promise.all(instances)
    expect(done.sort()).toEqual([...hosts].sort())
    expect((await workflow.state('h3.example'))?.pending).toBe(false)
  })

  it('what an instance fails at comes again, to another one', async () => {
    const workflow = fresh()
    await workflow.tell('certificate_ready', 'a.example')
    const [controller, deliveries, errors] = [new AbortController(), [] as number[], [] as unknown[]]
    const working = workflow.work(
      (task) => {
        deliveries.push(task.deliveries)
        if (task.deliveries === 1) throw new Error('not yet')
      },
      { signal: controller.signal, claimAfterSeconds: 0.05, onError: (error: unknown) => errors.push(error) },
    )
    await until(async () => (await workflow.state('a.example'))?.pending === false, 'it is done', 30_000)
    controller.abort()
    await working
    expect(deliveries).toEqual([1, 2])
    expect(errors).toHaveLength(1)
    expect(await workflow.given()).toEqual([])
  })
})

describe.each(Object.entries(kinds))('the requests of a registry on %s', (_, open) => {
  const fresh = () => {
    const storage = open()
    storages.push(storage)
    return openRegistry(storage).requests
  }
  const began = Date.now() - 10 * 60_000
  const request = (n: number, more: object) => ({
    ip: '192.0.2.1',
    host: 'a.example',
    method: 'GET',
    path: '/',
    status: 200,
    durationMs: 5,
    at: new Date(began + n * 1_000),
    ...more,
  })
  const noted = async () => {
    const requests = fresh()
    const all = [
      await requests.note(request(0, { user: 'ada', path: '/users/7' })),
      await requests.note(request(1, { ip: '::1', status: 404, path: '/users/8' })),
      await requests.note(request(2, { host: 'b.example', durationMs: 1_001, user: 'bob' })),
      await requests.note(request(3, { method: 'POST', status: 503, path: '/users/7', durationMs: 9_000 })),
    ]
    return { requests, all }
  }

  it('are found by who asked, for what and how it went, the latest first', async () => {
    const { requests, all } = await noted()
    const of = (...places: number[]) => ({ items: places.map((n) => all[n]), cursor: null })
    expect(await requests.ofClient('192.0.2.1')).toEqual(of(3, 2, 0))
    expect(await requests.ofHost('b.example')).toEqual(of(2))
    expect(await requests.ofUser('ada')).toEqual(of(0))
    expect(await requests.withStatus(404)).toEqual(of(1))
    expect(await requests.errors()).toEqual(of(3, 1))
    expect(await requests.slow()).toEqual(of(3, 2))
    expect(await requests.ofPath('GET', '/users/*')).toEqual(of(1, 0))
    expect(await requests.ofPath('POST', '/users/7')).toEqual(of(3))
    expect(await requests.ofUser('nobody')).toEqual(of())
  })

  it('are filtered before a page is cut', async () => {
    const { requests, all } = await noted()
    const first = await requests.errors({ limit: 1 })
    expect(first.items).toEqual([all[3]])
    const second = await requests.errors({ limit: 1, cursor: first.cursor ?? '' })
    expect(second.items).toEqual([all[1]])
  })

  it('of one client within a millisecond are all kept', async () => {
    const requests = fresh()
    const same = await Promise.all(Array.from({ length: 20 }, () => requests.note(request(0, {}))))
    expect(new Set(same.map(({ id }) => id)).size).toBe(20)
    expect((await requests.ofClient('192.0.2.1')).items).toHaveLength(20)
  })

  it('are counted by the hour: all, errors, and the clients of a host', async () => {
    const { requests, all } = await noted()
    const span = { since: new Date(began), until: new Date(began + 3_000) }
    const hours = await requests.byHour('a.example', span)
    // Ten minutes ago another hour may have begun between two of them.
    const expected = new Map<string, object>()
    for (const name of new Set(all.map(({ at }) => hourName(at)))) {
      const within = all.filter(({ at }) => hourName(at) === name)
      const visitors = within.filter(({ host }) => host === 'a.example').map(({ ip }) => ip)
      const errors = within.filter(({ status }) => status >= 400)
      expected.set(name, {
        requests: within.length,
        errors: errors.length,
        visitors: new Set(visitors).size,
      })
    }
    expect(hours).toEqual(expected)
    expect([...hours.keys()][0]).toMatch(/^\d{8}:\d\d$/)
  })

  it('are told as they happen', async () => {
    const requests = fresh()
    const controller = new AbortController()
    const live = requests.live(controller.signal)
    const first = live.next()
    // The place is fixed by the first question, which has been asked.
    await requests.byHour('a.example')
    const one = await requests.note(request(0, {}))
    expect((await first).value).toEqual(one)
    controller.abort(new Error('enough'))
    await expect(live.next()).rejects.toThrow('enough')
  })
})

it('leaves nothing of what is removed', async () => {
  const own = `${prefix}empty:`
  const storage = new RedisAdapter(url, { prefix: own })
  storages.push(storage)
  const { routes, tokens, oauth } = openRegistry(storage)
  await routes.all.create({ id: 'r', path: '/', priority: 1, target: 't' })
  await tokens.create('t', 'ada')
  await oauth.grant({ code: 'k', clientId: 'c', user: 'ada', redirectUri: '/' })
  expect(await census(client, own)).not.toEqual([])
  await routes.all.delete('r')
  await tokens.remove('t')
  await oauth.redeem('k')
  expect(await census(client, own)).toEqual([])
})
