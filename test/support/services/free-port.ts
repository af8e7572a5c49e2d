import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const FIRST_PORT = 10_240
const LAST_PORT = 32_000
/** A file a port that some process of these tests has been given, with that process's id in it. */
const RESERVATIONS = join(tmpdir(), 'factlib-ports')
const reserved = new Set<string>()

process.once('exit', () => {
  for (const file of reserved) rmSync(file, { force: true })
})

/**
 * A loopback TCP port that nothing listens on, given to no other process of these tests that still runs.
 *
 * It lies below the range from which the system takes ports for outgoing connections, so that a server that was stopped
 * finds its port still free when it starts again.
 *
 * @throws when 200 ports in a row are taken
 */
export async function freePort(): Promise<number> {
  mkdirSync(RESERVATIONS, { recursive: true })
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT))
    if (reserve(port) && (await isFree(port))) return port
  }
  throw new Error('no free TCP port found on 127.0.0.1: is something holding thousands of them?')
}

/** Servers take seconds from here to listening; two processes must not choose the same port meanwhile. */
function reserve(port: number): boolean {
  const file = join(RESERVATIONS, String(port))
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
    reserved.add(file)
    return true
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error
    // Of a process that was killed: free for the next one that asks.
    if (!isAlive(file)) rmSync(file, { force: true })
    return false
  }
}

function isAlive(file: string): boolean {
  try {
    process.kill(Number(readFileSync(file, 'utf8')), 0)
    return true
  } catch (error) {
    // EPERM: alive, and another user's.
    return (error as { code?: string }).code === 'EPERM'
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}
