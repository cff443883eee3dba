import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** What goes wrong on the way. All of it may change at any time, for open connections too. */
export interface Trouble {
  /** Each piece of data is this late, in either direction, in ms. */
  latencyMs?: number
  /** Bytes a second that get through, in either direction. */
  bytesPerSecond?: number
  /** Data arrives in pieces of so many bytes. */
  sliceBytes?: number
  /** Nothing gets through, and nobody is told: connections stay open, new ones are taken. */
  blackhole?: boolean
  /** Of so many replies one is lost, and its connection with it, as no reply is ever lost alone. */
  loseReplyIn?: number
  /** Connections end behind so many bytes of replies. */
  cutAfterBytes?: number
  /** New connections are refused, that is, end at once. */
  refuse?: boolean
}

/** A line with a state of its own, so that what comes late stays in order. */
class Line {
  private ready = Promise.resolve()
  private passed = 0

  constructor(
    private readonly proxy: TcpProxy,
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly replies: boolean,
  ) {
    from.on('data', (data) => {
      this.ready = this.ready.then(() => this.pass(data))
    })
    from.on('close', () => {
      // What is gone without a word stays a secret in a black hole.
      void this.ready.then(() => this.proxy.trouble.blackhole || this.to.destroy())
    })
    from.on('error', () => undefined)
  }

  private async pass(data: Buffer): Promise<void> {
    const { latencyMs, blackhole, loseReplyIn } = this.proxy.trouble
    if (latencyMs) await pause(latencyMs)
    if (blackhole || this.to.destroyed) return
    if (this.replies && loseReplyIn && this.proxy.chance() < 1 / loseReplyIn) {
      this.proxy.lost++
      this.end()
      return
    }
    for (const slice of this.slices(data)) {
      await this.write(slice)
      if (this.to.destroyed) return
    }
  }

  private *slices(data: Buffer): Generator<Buffer> {
    const { bytesPerSecond, sliceBytes } = this.proxy.trouble
    // A narrow line is one that passes a little every few ms.
    const most = bytesPerSecond ? Math.max(1, Math.floor(bytesPerSecond / 100)) : data.length
    const size = Math.min(sliceBytes ?? data.length, most)
    for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size)
  }

  private async write(slice: Buffer): Promise<void> {
    const { bytesPerSecond, sliceBytes, cutAfterBytes } = this.proxy.trouble
    if (bytesPerSecond) await pause((slice.length / bytesPerSecond) * 1000)
    if (this.replies && cutAfterBytes !== undefined && this.passed + slice.length > cutAfterBytes) {
      this.to.write(slice.subarray(0, Math.max(0, cutAfterBytes - this.passed)), () => this.end())
      return
    }
    this.passed += slice.length
    if (this.replies) this.proxy.brought += slice.length
    this.to.write(slice)
    // Otherwise the system would glue small pieces together again.
    if (sliceBytes) await new Promise(setImmediate)
  }

  private end(): void {
    this.from.destroy()
    this.to.destroy()
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** A TCP proxy in front of one server. It does what `trouble` says. */
export class TcpProxy {
  trouble: Trouble = {}
  /** Connections taken so far. */
  connections = 0
  /** Replies lost so far. */
  lost = 0
  /** Bytes of replies that got through. */
  brought = 0
  private readonly sockets = new Set<Socket>()
  private seed: number

  private constructor(
    private readonly server: Server,
    private target: { host: string; port: number },
    seed: number,
  ) {
    this.seed = seed
    server.on('connection', (socket) => this.take(socket))
  }

  /** In front of a server of this machine. `seed` decides what is lost. */
  static async start(port: number, { host = '127.0.0.1', seed = 1 } = {}): Promise<TcpProxy> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TcpProxy(server, { host, port }, seed)
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Now in front of another server; open connections stay where they are. */
  aim(port: number): void {
    this.target = { host: '127.0.0.1', port }
  }

  /** Ends all connections at once, as a crash of the machine between does. */
  reset(): void {
    for (const socket of this.sockets) socket.resetAndDestroy()
  }

  async dispose(): Promise<void> {
    this.reset()
    this.server.close()
    await once(this.server, 'close')
  }

  /** The next of a row of numbers from 0 to 1 that the seed decides. */
  chance(): number {
    this.seed = (Math.imul(this.seed, 1_664_525) + 1_013_904_223) >>> 0
    return this.seed / 2 ** 32
  }

  private take(client: Socket): void {
    this.connections++
    if (this.trouble.refuse) {
      client.destroy()
      return
    }
    const server = connect({ ...this.target, noDelay: true })
    client.setNoDelay(true)
    for (const socket of [client, server]) {
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
    }
    new Line(this, client, server, false)
    new Line(this, server, client, true)
  }
}
