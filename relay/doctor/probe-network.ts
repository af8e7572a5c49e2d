import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { Outcome } from './facts.ts'

/** Past this an address counts as not reachable, milliseconds. */
const REACH_LIMIT_MS = 3_000

/** Whether something takes a connection at `host:port`, with a handshake where `tls` is wanted. Never throws. */
export function probeAddress(address: string, tls: false | ConnectionOptions): Promise<Outcome> {
  const at = address.lastIndexOf(':')
  const host = address.slice(0, at)
  const port = Number(address.slice(at + 1))
  return new Promise((resolve) => {
    const settle = (outcome: Outcome) => {
      socket.destroy()
      resolve(outcome)
    }
    const socket: Socket =
      tls === false
        ? connectTcp({ host, port })
        : connectTls({ ...(isIP(host) === 0 ? { servername: host } : {}), ...tls, host, port })
    socket.setTimeout(REACH_LIMIT_MS, () =>
      settle({ ok: false, code: 'ETIMEDOUT', message: `no answer in ${REACH_LIMIT_MS / 1_000} s` }),
    )
    socket.once('error', (error: NodeJS.ErrnoException) =>
      settle({ ok: false, code: error.code ?? '', message: error.message || (error.code ?? 'unknown reason') }),
    )
    socket.once(tls === false ? 'connect' : 'secureConnect', () => settle({ ok: true }))
  })
}
