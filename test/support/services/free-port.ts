import { createServer } from 'node:net'

const FIRST_PORT = 10_240
const LAST_PORT = 32_000
const handedOut = new Set<number>()

/**
 * A loopback TCP port that nothing listens on, never handed out twice by this process.
 *
 * It lies below the range from which the system takes ports for outgoing connections, so that a server that was stopped
 * finds its port still free when it starts again.
 *
 * @throws when 200 ports in a row are taken
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT))
    if (handedOut.has(port) || !(await isFree(port))) continue
    handedOut.add(port)
    return port
  }
  throw new Error('no free TCP port found on 127.0.0.1: is something holding thousands of them?')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}
