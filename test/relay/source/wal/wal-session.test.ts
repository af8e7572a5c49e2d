import { createServer, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { silentLogger } from '../../../../relay/observer.ts'
import type { SourceEvents } from '../../../../relay/source/source.ts'
import { WalSession } from '../../../../relay/source/wal/wal-session.ts'
import { registerCleanup } from '../../../support/cleanup.ts'

// What no real server can be brought to do at will; its messages: https://www.postgresql.org/docs/current/protocol-message-formats.html

const message = (tag: string, ...body: Buffer[]) => {
  const content = Buffer.concat(body)
  const head = Buffer.alloc(5)
  head.write(tag)
  head.writeInt32BE(content.length + 4, 1)
  return Buffer.concat([head, content])
}
const AUTHENTICATION_OK = message('R', Buffer.alloc(4))
const READY = message('Z', Buffer.from('I'))
const DYING = message('E', Buffer.from('SFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0'))

it('survives a server that is ready and dies in the same packet', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => socket.end(Buffer.concat([AUTHENTICATION_OK, READY, DYING])))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  registerCleanup(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const session = new WalSession({
    target: { host: '127.0.0.1', port, user: 'u', database: 'd' },
    database: { hosts: [] } as never,
    slot: 's',
    publication: 'p',
    slotCreate: 'never',
    slotFailover: false,
    acceptGap: false,
    heartbeatMs: 0,
    logger: silentLogger,
    events: {} as SourceEvents,
    known: undefined,
  } as never)
  await expect(session.open(new AbortController().signal)).rejects.toThrow('postmaster exit')
  await session.close(0)
  expect(await session.whenClosed).toBeInstanceOf(Error)
})
