// The ways in which production runs Redis, for the tests: TLS, Sentinel, Cluster. All on free ports of 127.0.0.1, in
// temp directories, killed by pid.
//   node scripts/topologies.mjs tls|sentinel|cluster      starts one and prints its URL until Ctrl-C
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureRedis, startServer } from './servers.mjs'
import { capture, runMain, Stop } from './system.mjs'

const PLAIN = ['--bind', '127.0.0.1', '--save', '', '--daemonize', 'no', '--loglevel', 'notice']

/** Asks a server one command over a bare socket: a text, a number, null, or an Error. No lists. */
export function ask(port, ...parts) {
  return new Promise((resolve, reject) => {
    const bulk = (part) => `$${Buffer.byteLength(`${part}`)}\r\n${part}\r\n`
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`*${parts.length}\r\n${parts.map(bulk).join('')}`)
    })
    let text = ''
    const done = (settle, value) => {
      socket.destroy()
      settle(value)
    }
    socket.setTimeout(2000, () => done(reject, new Error(`${port} does not answer ${parts[0]}`)))
    socket.once('error', (error) => done(reject, error))
    socket.once('end', () => done(reject, new Error(`${port} hung up`)))
    socket.on('data', (more) => {
      text += more.toString('latin1')
      const end = text.indexOf('\r\n')
      if (end < 0) return
      const head = text.slice(1, end)
      if (text[0] === '-') done(reject, new Error(`${parts.join(' ')}: ${head}`))
      else if (text[0] === ':') done(resolve, Number(head))
      else if (text[0] !== '$') done(resolve, head)
      else if (head === '-1') done(resolve, null)
      else if (text.length >= end + 4 + Number(head))
        done(resolve, text.slice(end + 2, end + 2 + Number(head)))
    })
  })
}

/** Asks until the answer is as it should be. */
export async function eventually(what, probe, patienceMs = 20_000) {
  const end = Date.now() + patienceMs
  for (;;) {
    if (await Promise.resolve(probe()).catch(() => false)) return
    if (Date.now() > end) throw new Stop(`waited in vain until ${what}`)
    await sleep(25)
  }
}

const answersPing = ({ port }) => ask(port, 'PING').then((answer) => answer === 'PONG')

/** A server that may crash, stand still and come back where it stood. */
async function startNode(name, path, argsFor, answers = answersPing) {
  const how = { name, path, argsFor, answers }
  const first = await startServer(how)
  let running = first
  return {
    port: first.port,
    folder: first.folder,
    crash: () => running.crash(),
    freeze: () => process.kill(running.pid, 'SIGSTOP'),
    thaw: () => process.kill(running.pid, 'SIGCONT'),
    restart: async () => {
      running = await startServer({ ...how, place: first })
    },
    stop: async () => {
      await running.crash()
      rmSync(first.folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

async function stopAll(nodes) {
  await Promise.all(nodes.map((node) => node.stop()))
}

/** An authority of our own, and what it signs: PEM texts by name, in a folder. */
function certificates() {
  const folder = mkdtempSync(join(tmpdir(), 'flowkeep-tls-'))
  const at = (name) => join(folder, name)
  const openssl = (...args) => {
    if (capture('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] }) === null)
      throw new Stop(`openssl is needed for the TLS tests, and could not run: openssl ${args.join(' ')}`)
  }
  const key = (name) =>
    openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', at(`${name}.key`))
  const authority = (name) => {
    key(name)
    const subject = ['-subj', `/CN=flowkeep tests ${name}`, '-days', '2']
    openssl('req', '-x509', '-new', '-key', at(`${name}.key`), '-out', at(`${name}.crt`), ...subject)
  }
  const signed = (name, names) => {
    key(name)
    openssl('req', '-new', '-key', at(`${name}.key`), '-subj', `/CN=${name}`, '-out', at(`${name}.csr`))
    writeFileSync(at(`${name}.ext`), `subjectAltName=${names}\n`)
    const by = ['-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2']
    openssl(
      'x509',
      '-req',
      '-in',
      at(`${name}.csr`),
      ...by,
      '-extfile',
      at(`${name}.ext`),
      '-out',
      at(`${name}.crt`),
    )
  }
  authority('ca')
  authority('stranger')
  signed('server', 'DNS:localhost,IP:127.0.0.1')
  signed('client', 'DNS:client')
  const text = (name) => readFileSync(at(name), 'utf8')
  return { folder, at, text }
}

/** A server that speaks TLS alone, and asks for a certificate of its clients if told to. */
export async function startTls({ asksClients = false } = {}) {
  const { path, version } = await ensureRedis()
  const { folder, at, text } = certificates()
  const files = [
    '--tls-cert-file',
    at('server.crt'),
    '--tls-key-file',
    at('server.key'),
    '--tls-ca-cert-file',
    at('ca.crt'),
  ]
  // It says so in its log once it takes connections: a bare socket can't ask it.
  const server = await startServer({
    name: 'tls',
    path,
    argsFor: ({ port, folder }) => [
      ...['--port', '0', '--tls-port', `${port}`, '--dir', folder, ...PLAIN, ...files],
      ...['--tls-auth-clients', asksClients ? 'yes' : 'no'],
    ],
    answers: ({ port }) => accepts(port),
  })
  return {
    version,
    port: server.port,
    url: `rediss://127.0.0.1:${server.port}`,
    ca: text('ca.crt'),
    stranger: text('stranger.crt'),
    cert: text('client.crt'),
    key: text('client.key'),
    stop: async () => {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** A master, its replicas, and sentinels that watch them. `password` is for the servers, `secret` for the sentinels. */
export async function startSentinel({ replicas = 2, sentinels = 3, password, secret } = {}) {
  const { path, version } = await ensureRedis()
  const login = password ? ['--requirepass', password, '--masterauth', password] : []
  const common = ({ port, folder }) => [
    ...['--port', `${port}`, '--dir', folder, ...PLAIN, '--appendonly', 'no', ...login],
    ...['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'],
  ]
  const answers = ({ port }) => accepts(port)
  const master = await startNode('master', path, common, answers)
  const others = await Promise.all(
    Array.from({ length: replicas }, () =>
      startNode(
        'replica',
        path,
        (at) => [...common(at), '--replicaof', '127.0.0.1', `${master.port}`],
        answers,
      ),
    ),
  )
  const service = 'main'
  const watchers = await Promise.all(
    Array.from({ length: sentinels }, () =>
      startNode(
        'sentinel',
        path,
        (at) => sentinelArgs(at, service, master.port, sentinels, password, secret),
        answers,
      ),
    ),
  )
  const watcher = (...parts) => askAs(watchers[0].port, secret, ...parts)
  await eventually('the sentinels know each other and the replicas', async () => {
    const text = `${await watcher('INFO', 'sentinel')}`
    return text.includes(`slaves=${replicas},sentinels=${sentinels}`) && text.includes('status=ok')
  })
  const nodes = [master, ...others]
  await eventually('the replicas are in step', async () => {
    const text = `${await askAs(master.port, password, 'INFO', 'replication')}`
    return text.split('state=online').length - 1 === replicas
  })
  const hosts = watchers.map(({ port }) => `127.0.0.1:${port}`).join(',')
  const who = password ? `:${encodeURIComponent(password)}@` : ''
  const how = secret ? `?sentinelPassword=${encodeURIComponent(secret)}` : ''
  return {
    version,
    service,
    nodes,
    sentinels: watchers,
    url: `redis+sentinel://${who}${hosts}/${service}${how}`,
    /** The port of the master, as the sentinels know it. */
    master: async () => Number(/address=[^:]+:(\d+)/.exec(`${await watcher('INFO', 'sentinel')}`)?.[1]),
    failover: () => watcher('SENTINEL', 'FAILOVER', service),
    /** Resolves when so many replicas follow the master again. */
    settled: (least = replicas) =>
      eventually('the replicas follow one master', async () => {
        const address = /address=[^:]+:(\d+)/.exec(`${await watcher('INFO', 'sentinel')}`)?.[1]
        const text = `${await askAs(Number(address), password, 'INFO', 'replication')}`
        return text.includes('role:master') && text.split('state=online').length - 1 >= least
      }),
    stop: () => stopAll([...watchers, ...nodes]),
  }
}

/** Asks with a password first, over a connection that a default user may open. */
async function askAs(port, password, ...parts) {
  if (!password) return ask(port, ...parts)
  return new Promise((resolve, reject) => {
    const bulk = (part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`
    const command = (all) => `*${all.length}\r\n${all.map(bulk).join('')}`
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(command(['AUTH', password]) + command(parts)),
    )
    let text = ''
    socket.setTimeout(2000, () => socket.destroy(new Error(`${port} does not answer`)))
    socket.once('error', reject)
    socket.on('data', (more) => {
      text += more
      const rest = text.slice(text.indexOf('\r\n') + 2)
      const head = /^\$(\d+)\r\n/.exec(rest)
      if (head ? rest.length >= head[0].length + Number(head[1]) + 2 : /^[+:-].*\r\n/.test(rest)) {
        socket.destroy()
        resolve(head ? rest.slice(head[0].length, -2) : rest.slice(1, -2))
      }
    })
  })
}

function sentinelArgs({ port, folder }, service, master, sentinels, password, secret) {
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor ${service} 127.0.0.1 ${master} ${Math.floor(sentinels / 2) + 1}`,
    `sentinel down-after-milliseconds ${service} 500`,
    `sentinel failover-timeout ${service} 3000`,
    `sentinel parallel-syncs ${service} 2`,
    ...(password ? [`sentinel auth-pass ${service} ${password}`] : []),
    ...(secret ? [`requirepass ${secret}`, `sentinel sentinel-pass ${secret}`] : []),
  ]
  const file = join(folder, 'sentinel.conf')
  writeFileSync(file, `${lines.join('\n')}\n`)
  return [file, '--sentinel']
}

const SLOTS = 16_384

/** A Cluster: so many masters, each with so many replicas. */
export async function startCluster({ masters = 3, replicas = 1, password } = {}) {
  const { path, version } = await ensureRedis()
  const login = password ? ['--requirepass', password, '--masterauth', password] : []
  const args = ({ port, folder }) => [
    ...['--port', `${port}`, '--dir', folder, ...PLAIN, '--appendonly', 'no', ...login],
    ...['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--cluster-port', `${port + 10_000}`],
    ...[
      '--repl-diskless-sync-delay',
      '0',
      '--repl-ping-replica-period',
      '1',
      '--cluster-replica-validity-factor',
      '0',
    ],
  ]
  const start = () => startClusterNode(path, args)
  const nodes = []
  for (let n = 0; n < masters * (1 + replicas); n++) nodes.push(await start())
  const first = nodes[0]
  await Promise.all(
    nodes.map(async ({ port }, n) => {
      await askAs(port, password, 'CLUSTER', 'SET-CONFIG-EPOCH', `${n + 1}`)
      if (n < masters) {
        const [from, to] = [n, n + 1].map((part) => Math.floor((SLOTS * part) / masters))
        const slots = Array.from({ length: to - from }, (_, slot) => `${from + slot}`)
        await askAs(port, password, 'CLUSTER', 'ADDSLOTS', ...slots)
      }
    }),
  )
  for (const { port } of nodes.slice(1))
    await askAs(first.port, password, 'CLUSTER', 'MEET', '127.0.0.1', `${port}`)
  const lines = async (port) => `${await askAs(port, password, 'CLUSTER', 'NODES')}`.trim().split('\n')
  await eventually('all nodes of the Cluster know each other', async () => {
    const counts = await Promise.all(nodes.map(async ({ port }) => (await lines(port)).length))
    return counts.every((count) => count === nodes.length)
  })
  const ids = await Promise.all(nodes.map(({ port }) => askAs(port, password, 'CLUSTER', 'MYID')))
  await Promise.all(
    nodes
      .slice(masters)
      .map(({ port }, n) =>
        eventually(
          'a replica follows',
          async () => (await askAs(port, password, 'CLUSTER', 'REPLICATE', `${ids[n % masters]}`)) === 'OK',
        ),
      ),
  )
  const cluster = {
    version,
    nodes,
    ids,
    url: `redis-cluster://${password ? `:${encodeURIComponent(password)}@` : ''}${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    ask: (port, ...parts) => askAs(port, password, ...parts),
    /** The ports of the nodes that are masters with slots, as this node sees it. */
    masters: async (seenBy = first.port) => {
      const all = await lines(seenBy)
      const living = all.filter((line) => / (myself,)?master - .* connected \d/.test(line))
      return living.map((line) => Number(/:(\d+)@/.exec(line)?.[1]))
    },
    /** Resolves when every node says that all is well, and every replica is in step. */
    settled: () =>
      eventually('the Cluster is well', async () => {
        const texts = await Promise.all(
          nodes.map(async ({ port }) => {
            const roles = `${await askAs(port, password, 'INFO', 'replication')}`
            const inStep = roles.includes('role:master')
              ? roles.split('state=online').length - 1 >= replicas
              : roles.includes('master_link_status:up')
            return inStep && `${await askAs(port, password, 'CLUSTER', 'INFO')}`.includes('cluster_state:ok')
          }),
        )
        return texts.every(Boolean)
      }),
    stop: () => stopAll(nodes),
  }
  await cluster.settled()
  return cluster
}

// The bus stands 10,000 ports above, so not every port will do.
async function startClusterNode(path, args) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startNode('cluster', path, args, ({ port }) => accepts(port))
    } catch (error) {
      if (attempt === 10) throw error
    }
  }
}

if (process.argv[1] === import.meta.filename) {
  await runMain(async () => {
    const kinds = { tls: startTls, sentinel: startSentinel, cluster: startCluster }
    const start = kinds[process.argv[2]]
    if (!start) throw new Stop(`which one? ${Object.keys(kinds).join(', ')}`)
    const { url, version } = await start()
    console.log(`redis-server ${version}\n${url}\nCtrl-C stops it`)
    setInterval(() => {}, 2 ** 30)
  })
}
