// The tests' own proxy: what it promises the tests that use it.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TcpProxy } from './support/proxy.js'
import { ScriptedServer } from './support/server.js'
import { until } from './support/until.js'

let server: ScriptedServer
let proxy: TcpProxy
let client: Socket
let heard: Buffer[]

beforeEach(async () => {
  // Says back what it hears.
  server = await ScriptedServer.start((socket, data) => socket.write(data))
  proxy = await TcpProxy.start(Number(new URL(server.url).port))
  client = await dial()
})

afterEach(async () => {
  client.destroy()
  await proxy.dispose()
  await server.dispose()
})

async function dial(): Promise<Socket> {
  const socket = connect(proxy.port, '127.0.0.1')
  heard = []
  socket.on('error', () => undefined)
  socket.on('data', (data) => heard.push(data))
  await once(socket, 'connect')
  return socket
}

const closing = (socket: Socket) => new Promise((resolve) => socket.once('close', resolve))

const text = () => Buffer.concat(heard).toString()

describe('the proxy', () => {
  it('passes everything on while there is no trouble', async () => {
    client.write('hello')
    await until(() => text() === 'hello', 'it comes back')
    expect(proxy.connections).toBe(1)
  })

  it('is late, narrow and piecemeal, in order', async () => {
    proxy.trouble = { latencyMs: 30, bytesPerSecond: 2000, sliceBytes: 1 }
    const from = performance.now()
    client.write('abcdefghij')
    client.write('klmnopqrst')
    await until(() => text() === 'abcdefghijklmnopqrst', 'it comes back')
    expect(performance.now() - from).toBeGreaterThan(60)
  })

  it('cuts a connection behind so many bytes', async () => {
    proxy.trouble = { cutAfterBytes: 3 }
    const closed = closing(client)
    client.write('hello')
    await closed
    expect(text()).toBe('hel')
  })

  it('loses one reply of so many, and the connection with it', async () => {
    proxy.trouble = { loseReplyIn: 1 }
    const closed = closing(client)
    client.write('hello')
    await closed
    expect([text(), proxy.lost]).toEqual(['', 1])
  })

  it('is a black hole that tells nobody', async () => {
    proxy.trouble = { blackhole: true }
    client.write('into the hole')
    const other = await dial()
    other.write('me too')
    proxy.trouble = { blackhole: true, latencyMs: 1 }
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([text(), client.destroyed, other.destroyed]).toEqual(['', false, false])
    other.destroy()
  })

  it('resets connections and refuses new ones', async () => {
    client.write('hello')
    await until(() => text() === 'hello', 'it comes back')
    const closed = closing(client)
    proxy.reset()
    await closed
    proxy.trouble = { refuse: true }
    await closing(connect(proxy.port, '127.0.0.1').on('error', () => undefined))
  })
})
