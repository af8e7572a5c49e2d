import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createFramedSocket, createFramer } from '../../../relay/kafka/framed-socket.ts'

const frame = (body: Uint8Array): Buffer => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length)
  return Buffer.concat([length, body])
}

it('hands on every answer, whole, wherever the chunks end', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
      (bodies, sizes) => {
        const stream = Buffer.concat(bodies.map(frame))
        const take = createFramer()
        const whole: Buffer[] = []
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = sizes[turn % sizes.length] as number
          const out = take(stream.subarray(at, at + size))
          at += size
          if (!out) continue
          whole.push(out)
          // Nothing but whole answers, each time.
          let end = 0
          while (end < out.length) end += 4 + out.readInt32BE(end)
          expect(end).toBe(out.length)
        }
        expect(Buffer.concat(whole)).toEqual(stream)
      },
    ),
  )
})

it('a socket that is cut inside an answer leaves nothing of it to the listener', async () => {
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {})
    socket.write(Buffer.concat([frame(Buffer.from('whole')), frame(Buffer.from('half')).subarray(0, 6)]), () =>
      socket.destroySoon(),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = createFramedSocket({ host: '127.0.0.1', port, ssl: undefined, onConnect: () => {} })
  const heard: Buffer[] = []
  socket.on('data', (data) => heard.push(data))
  await once(socket, 'close')
  server.close()
  expect(Buffer.concat(heard)).toEqual(frame(Buffer.from('whole')))
})
