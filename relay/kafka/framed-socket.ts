import { connect, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'

const KEEP_ALIVE_MS = 60_000
const LENGTH_BYTES = 4

/**
 * Sockets for kafkajs that hand on whole answers only (`int32 length, bytes`).
 *
 * kafkajs 2.2.4 keeps the beginning of an answer over a reconnect (network/connection.js, `chunks`): cut inside one, it takes the
 * next connection's bytes for its rest and throws a RangeError in a socket callback, which ends the process. Here an incomplete
 * answer goes with its socket.
 *
 * @example new Kafka({ brokers, socketFactory: createFramedSocket })
 */
export function createFramedSocket(options: {
  readonly host: string
  readonly port: number
  readonly ssl: ConnectionOptions | null | undefined
  readonly onConnect: () => void
}): Socket {
  const { host, port, ssl, onConnect } = options
  // As kafkajs' own.
  const socket = ssl
    ? connectTls({ host, port, ...(isIP(host) === 0 && { servername: host }), ...ssl }, onConnect)
    : connect({ host, port }, onConnect)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  const takeWhole = createFramer()
  const emit = socket.emit.bind(socket) as (event: string | symbol, ...values: unknown[]) => boolean
  socket.emit = ((event: string | symbol, ...values: unknown[]) => {
    if (event !== 'data') return emit(event, ...values)
    const whole = takeWhole(values[0] as Buffer)
    return whole === undefined || emit('data', whole)
  }) as typeof socket.emit
  return socket
}

/** Takes chunks that end anywhere; returns the whole answers so far, without copying where a chunk is just that. Pure. */
export function createFramer(): (chunk: Buffer) => Buffer | undefined {
  let held: Buffer[] = []
  let heldBytes = 0
  /** Less than this is no whole answer. */
  let neededBytes = LENGTH_BYTES
  return (chunk) => {
    held.push(chunk)
    heldBytes += chunk.length
    if (heldBytes < neededBytes) return undefined
    const data = held.length === 1 ? chunk : Buffer.concat(held)
    let end = 0
    neededBytes = LENGTH_BYTES
    while (data.length - end >= LENGTH_BYTES) {
      neededBytes = LENGTH_BYTES + Math.max(0, data.readInt32BE(end))
      if (data.length - end < neededBytes) break
      end += neededBytes
      neededBytes = LENGTH_BYTES
    }
    held = end === data.length ? [] : [data.subarray(end)]
    heldBytes = data.length - end
    return end === 0 ? undefined : data.subarray(0, end)
  }
}
