import { createConnection, createServer, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import { registerCleanup } from './cleanup.ts'

export interface ProxyTarget {
  /** Default 127.0.0.1. */
  readonly host?: string
  readonly port: number
}

/** `toServer`: what the client sends; `toClient`: what the server sends. */
export type Direction = 'toServer' | 'toClient'

/** Sees the bytes of one connection as they come in, before any fault of the proxy touches them. */
export type ProxyTap = (direction: Direction, chunk: Buffer) => void

export interface TestProxy {
  readonly port: number
  /** Where new connections go. May be set later: a connection before that is refused. */
  target: ProxyTarget | undefined
  /** Milliseconds by which each chunk is held back, both ways. Default 0. */
  delayMs: number
  /** Connections that are open now. */
  readonly connections: number
  /** Bytes passed on since the start. */
  readonly bytes: Readonly<Record<Direction, number>>
  /** Resets all open connections (RST). New ones are served. */
  cut(): void
  /** Resets each connection once it has passed on so many more bytes in one direction: inside a frame, say. */
  cutAfter(bytes: number, direction: Direction): void
  /** Passes nothing on, one way or both (default), and keeps connections open; `false`: what waited comes through. */
  blackhole(on: boolean, direction?: Direction): void
  /** Refuses new connections (RST), until `false`. */
  refuse(on: boolean): void
  /** Called by itself. */
  close(): Promise<void>
}

/**
 * A TCP proxy on a free loopback port, for faults of the network; closed at the end of the test or file. `tap` is called once
 * for each connection.
 *
 * @example
 * const proxy = await startProxy({ port: postgres.port })
 * proxy.blackhole(true)
 */
export async function startProxy(target?: ProxyTarget, tap?: () => ProxyTap): Promise<TestProxy> {
  const proxy = new TcpProxy(target, tap)
  await proxy.listen()
  registerCleanup(() => proxy.close())
  return proxy
}

/** A reset; a socket that is still connecting would wait with it until it is connected. */
function reset(socket: Socket): void {
  if (socket.connecting) socket.destroy()
  else socket.resetAndDestroy()
}

class TcpProxy implements TestProxy {
  target: ProxyTarget | undefined
  delayMs = 0
  readonly bytes = { toServer: 0, toClient: 0 }
  readonly #server = createServer((client) => this.#accept(client))
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  readonly #held = { toServer: false, toClient: false }
  readonly #tap: (() => ProxyTap) | undefined
  #onRelease: (() => void)[] = []
  #refusing = false
  #cutAt: { readonly direction: Direction; readonly bytes: number } | undefined

  constructor(target: ProxyTarget | undefined, tap: (() => ProxyTap) | undefined) {
    this.target = target
    this.#tap = tap
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, '127.0.0.1', () => resolve())
    })
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed')
    return address.port
  }

  get connections(): number {
    return this.#pairs.size
  }

  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) reset(socket)
  }

  cutAfter(bytes: number, direction: Direction): void {
    this.#cutAt = { direction, bytes: this.bytes[direction] + bytes }
  }

  blackhole(on: boolean, direction?: Direction): void {
    for (const one of direction ? [direction] : (['toServer', 'toClient'] as const)) this.#held[one] = on
    for (const release of this.#onRelease.splice(0)) release()
  }

  refuse(on: boolean): void {
    this.#refusing = on
  }

  close(): Promise<void> {
    this.cut()
    this.blackhole(false)
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
    })
  }

  #accept(client: Socket): void {
    client.on('error', () => {})
    if (this.#refusing || !this.target) {
      client.resetAndDestroy()
      return
    }
    const server = createConnection({ host: this.target.host ?? '127.0.0.1', port: this.target.port })
    const pair = [client, server] as const
    this.#pairs.add(pair)
    for (const socket of pair) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
      // One end gone, the other follows: with a reset, unless it was told in good order. Then it may stay half open as
      // long as it likes, and is still ours to cut.
      socket.on('close', (failed) => {
        if (failed) for (const end of pair) reset(end)
        if (pair.every(({ destroyed }) => destroyed)) this.#pairs.delete(pair)
      })
    }
    const tap = this.#tap?.()
    client.pipe(this.#passage('toServer', client, server, tap)).pipe(server)
    server.pipe(this.#passage('toClient', server, client, tap)).pipe(client)
  }

  #passage(direction: Direction, from: Socket, to: Socket, tap: ProxyTap | undefined): Transform {
    const passage = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        tap?.(direction, chunk)
        const pass = (): void => {
          if (this.#held[direction]) {
            // What a sender that has died meanwhile had sent is lost in a black hole: nobody sends it again.
            this.#onRelease.push(() => (from.destroyed ? reset(to) : pass()))
            return
          }
          const cutAt = this.#cutAt
          if (cutAt?.direction === direction && this.bytes[direction] + chunk.length > cutAt.bytes) {
            const allowed = chunk.subarray(0, cutAt.bytes - this.bytes[direction])
            this.#cutAt = undefined
            this.bytes[direction] += allowed.length
            passage.push(allowed)
            // After the allowed bytes have left; done() is never called, so that none follow them.
            setImmediate(() => this.cut())
            return
          }
          this.bytes[direction] += chunk.length
          done(undefined, chunk)
        }
        if (this.delayMs > 0) setTimeout(pass, this.delayMs)
        else pass()
      },
    })
    return passage
  }
}
