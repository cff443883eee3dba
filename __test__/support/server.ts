import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rawClient } from './redis.js'
import { until } from './until.js'

const program = process.env.FLOWKEEP_TEST_REDIS_SERVER ?? 'redis-server'

/** A Redis server of the test's own, that may be stopped, frozen and started again. */
export class OwnServer {
  private child: ChildProcess | undefined

  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly password: string | undefined,
  ) {}

  static async start(options: { password?: string } = {}): Promise<OwnServer> {
    const folder = await mkdtemp(join(tmpdir(), 'flowkeep-redis-'))
    const server = new OwnServer(await freePort(), folder, options.password)
    await server.start()
    return server
  }

  get url(): string {
    return this.urlWith(this.password)
  }

  urlWith(password: string | undefined): string {
    const credentials = password === undefined ? '' : `:${encodeURIComponent(password)}@`
    return `redis://${credentials}127.0.0.1:${this.port}/0`
  }

  /** Starts the process; with an append-only file, so that a restart finds the data again. */
  async start({ args = [], waits = true }: { args?: string[]; waits?: boolean } = {}): Promise<void> {
    const always = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--appendfsync', 'always']
    const secret = this.password === undefined ? [] : ['--requirepass', this.password]
    const place = ['--port', String(this.port), '--dir', this.folder]
    this.child = spawn(program, [...place, ...always, ...secret, ...args], { stdio: 'ignore' })
    process.once('exit', this.end)
    if (!waits) return
    const client = rawClient(this.url)
    client.on('error', () => undefined)
    try {
      await until(() => client.ping().catch(() => false), 'the Redis server answers')
    } finally {
      client.disconnect()
    }
  }

  private readonly end = (): void => {
    this.child?.kill('SIGKILL')
  }

  /** Ends the process at once, as a crash does. */
  async kill(): Promise<void> {
    const child = this.child
    process.off('exit', this.end)
    if (child === undefined || child.exitCode !== null) return
    const gone = once(child, 'exit')
    this.end()
    await gone
    this.child = undefined
  }

  /** Stops the process without ending it: connections stay open, nobody answers. */
  freeze(): void {
    this.child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.child?.kill('SIGCONT')
  }

  async dispose(): Promise<void> {
    await this.kill()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** A server that takes every connection and does what `behave` says with its data. */
export class ScriptedServer {
  private readonly sockets = new Set<Socket>()

  private constructor(private readonly server: Server) {}

  static async start(behave: (socket: Socket, data: Buffer) => void): Promise<ScriptedServer> {
    const server = createServer()
    const scripted = new ScriptedServer(server)
    server.on('connection', (socket) => {
      scripted.sockets.add(socket)
      socket.on('data', (data) => behave(socket, data))
      socket.on('error', () => socket.destroy())
      socket.on('close', () => scripted.sockets.delete(socket))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return scripted
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async dispose(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
    await once(this.server, 'close')
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
