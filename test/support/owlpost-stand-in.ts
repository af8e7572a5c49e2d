import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { formatLsn, toLsn } from '../../relay/lsn.ts'
import { partitionFor } from '../../relay/partitioner.ts'
import { scanEnvelope } from '../../src/envelope/scan.ts'
import { registerCleanup } from './cleanup.ts'
import { waitFor } from './wait.ts'

/** A relay that is not ours, as far as a hand-over needs one. */
export interface OtherRelay {
  whenStreaming(): Promise<void>
  /** Where it has left the slot. */
  readonly position: bigint
  /** Stops it; the slot is free afterwards. */
  stop(): Promise<void>
}

/** `pg`'s connection, as far as replication needs it; not in its types. */
interface ReplicationConnection {
  on(event: 'copyData', listener: (message: { chunk: Buffer }) => void): void
  sendCopyFromChunk(chunk: Buffer): void
  readonly stream: { destroy(): void }
}

/**
 * OwlPost, as far as a hand-over shows it: facts one after another, and after each the position that OwlPost's records
 * carry as `LSN`: the start of the message's frame plus the frame's length, which is no position of the WAL at all. It
 * may lie inside a transaction, or past a commit that has not been read yet.
 */
export async function startOwlPostStandIn(options: {
  readonly databaseUrl: string
  readonly slot: string
  readonly publication: string
  readonly prefix: string
  readonly brokers: readonly string[]
}): Promise<OtherRelay> {
  const { slot, publication, prefix } = options
  const producer = new Kafka({
    brokers: [...options.brokers],
    clientId: 'owlpost',
    logLevel: logLevel.NOTHING,
  }).producer({ idempotent: true, allowAutoTopicCreation: false })
  await producer.connect()
  const client = new pg.Client({ connectionString: options.databaseUrl, replication: 'database' } as pg.ClientConfig)
  client.on('error', () => {})
  await client.connect()
  const connection = (client as unknown as { connection: ReplicationConnection }).connection
  let position = 0n
  let stopped = false
  let work: Promise<unknown> = Promise.resolve()
  const confirm = () => {
    const frame = Buffer.alloc(34)
    frame.write('r')
    for (const at of [1, 9, 17]) frame.writeBigUInt64BE(position, at)
    connection.sendCopyFromChunk(frame)
  }
  const relay = async (start: bigint, data: Buffer): Promise<void> => {
    const fact = readFact(data, prefix)
    if (!fact || stopped) return
    const { key, content: value } = fact
    // Not OwlPost's LSN: so that what comes twice, once from each, must be the same.
    const headers = { event_id: fact.id, event_type: fact.eventType, LSN: formatLsn(toLsn(start)) }
    const message = { key, value, headers, partition: partitionFor(key, PARTITIONS) }
    await producer.send({ topic: `${prefix}.${fact.aggregateType}`, messages: [message] })
    position = start + BigInt(data.length)
    if (!stopped) confirm()
  }
  connection.on('copyData', ({ chunk }) => {
    if (chunk[0] === 0x6b && chunk[17] === 1 && position > 0n) confirm()
    if (chunk[0] !== 0x77) return
    const start = chunk.readBigUInt64BE(1)
    const data = Buffer.from(chunk.subarray(25))
    work = work.then(() => relay(start, data))
  })
  const pluginOptions = `proto_version '1', publication_names '${publication}', messages 'true'`
  const streaming = client.query(`START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (${pluginOptions})`)
  streaming.catch(() => {})
  const watcher = new pg.Client({ connectionString: options.databaseUrl })
  await watcher.connect()
  const isActive = async (): Promise<boolean> =>
    (await watcher.query('SELECT active FROM pg_replication_slots WHERE slot_name = $1', [slot])).rows[0]?.active
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await work
    connection.stream.destroy()
    await waitFor(async () => !(await isActive()), { what: 'the slot to be free' })
    await watcher.end()
    await producer.disconnect()
  }
  registerCleanup(stop)
  return {
    get position() {
      return position
    },
    whenStreaming: () => waitFor(isActive, { what: 'the other relay to stream' }).then(() => {}),
    stop,
  }
}

const PARTITIONS = 3

/** A fact of the load: with an id, and without a trace. */
function readFact(data: Buffer, prefix: string) {
  if (data[0] !== 0x4d) return undefined
  const end = data.indexOf(0, 10)
  if (data.toString('utf8', 10, end) !== prefix) return undefined
  const content = data.subarray(end + 5)
  const { idStart, idEnd, aggregateType, aggregateIdStart, aggregateIdEnd, eventType } = scanEnvelope(content)
  const id = content.toString('utf8', idStart, idEnd)
  return { content, id, aggregateType, key: content.subarray(aggregateIdStart, aggregateIdEnd), eventType }
}
