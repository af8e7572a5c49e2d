// What the relay is measured against: the same reading and the same Kafka client with nothing around them. No ledger, no
// faults, no metrics, no reconnect: a loop that loses facts as soon as anything goes wrong.
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { createKafkajsSink } from '../../relay/kafka/kafkajs.ts'
import { createPlatformaticSink } from '../../relay/kafka/platformatic.ts'
import { loadPlatformatic } from '../../relay/kafka/platformatic-client.ts'
import { formatLsn } from '../../relay/lsn.ts'
import { silentLogger } from '../../relay/observer.ts'
import { partitionFor } from '../../relay/partitioner.ts'
import type { Sink, SinkRecord } from '../../relay/sink/sink.ts'
import { decodePgoutput } from '../../relay/source/wal/pgoutput.ts'
import { createEnvelopeScan, scanEnvelope } from '../../src/envelope/scan.ts'
import { benchFact } from './backlog.mts'
import { type ContestantResult, type ContestantSettings, startSpan } from './span.mts'

const BATCH = 500
const WINDOW = 20_000

/** Reads the slot, and with `produce` sends each fact: one lane a partition, one request of ≤500 records in flight in each. */
export async function runPrototype(settings: ContestantSettings, produce: boolean): Promise<ContestantResult> {
  const { facts, partitions, prefix } = settings
  const sink = produce ? await openSink(settings) : undefined
  const client = new pg.Client({ connectionString: settings.url, replication: 'database' } as pg.ClientConfig)
  await client.connect()
  const { stream } = (client as unknown as { connection: { stream: { pause(): void; resume(): void } } }).connection
  const lanes = new Map<string, Lane[]>()
  for (const topic of settings.topics)
    lanes.set(
      topic,
      Array.from({ length: partitions }, (_, partition) => ({ topic, partition, queue: [], busy: false })),
    )
  const scan = createEnvelopeScan()
  let span: (() => ContestantResult) | undefined
  let read = 0
  let done = 0
  let paused = false
  let requests = 0
  let finish!: () => void
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })

  function settle(count: number): void {
    done += count
    if (done === facts) finish()
    if (paused && read - done < WINDOW / 2) {
      paused = false
      stream.resume()
    }
  }

  async function work(lane: Lane): Promise<void> {
    while (lane.queue.length > 0) {
      const batch = lane.queue.splice(0, BATCH)
      requests++
      await (sink as Sink).send(lane.topic, lane.partition, batch)
      settle(batch.length)
    }
    lane.busy = false
  }

  const events = {
    onBegin() {},
    onCommit() {},
    onMessage(_transactional: boolean, lsn: Parameters<typeof formatLsn>[0], name: string, content: Buffer) {
      if (name !== prefix) return
      scanEnvelope(content, scan)
      read++
      const value = Buffer.from(content)
      const headers = {
        event_id: content.toString('latin1', scan.idStart, scan.idEnd),
        event_type: scan.eventType,
        LSN: formatLsn(lsn),
      }
      const key = value.subarray(scan.aggregateIdStart, scan.aggregateIdEnd)
      if (!sink) return settle(1)
      const lane = (lanes.get(`${name}.${scan.aggregateType}`) as Lane[])[partitionFor(key, partitions)] as Lane
      lane.queue.push({ key, value, headers, timestampMs: Date.now() })
      if (!lane.busy) {
        lane.busy = true
        queueMicrotask(() => void work(lane))
      }
      if (!paused && read - done >= WINDOW) {
        paused = true
        stream.pause()
      }
    },
  }
  const { connection } = client as unknown as {
    connection: NodeJS.EventEmitter & { sendCopyFromChunk(bytes: Buffer): void }
  }
  connection.once('replicationStart', () => {
    span = startSpan(facts)
  })
  connection.on('copyData', ({ chunk }: { chunk: Buffer }) => {
    if (chunk[0] === 0x77) decodePgoutput(chunk.subarray(25), events)
  })
  client
    .query(
      `START_REPLICATION SLOT ${settings.slot} LOGICAL 0/0 (proto_version '1', publication_names '${settings.publication}', messages 'true')`,
    )
    .catch(() => {})
  await finished
  const result = (span as () => ContestantResult)()
  ;(connection as unknown as { stream: { destroy(): void } }).stream.destroy()
  await sink?.close()
  return sink ? { ...result, requests: Math.round((requests / facts) * 10_000) } : result
}

interface Lane {
  readonly topic: string
  readonly partition: number
  readonly queue: SinkRecord[]
  busy: boolean
}

async function openSink({ client, codec, brokers }: ContestantSettings): Promise<Sink> {
  const target = { clientId: 'bench', brokers, tls: false, compression: codec } as const
  const library = client === 'platformatic' ? await loadPlatformatic() : undefined
  const sink = library
    ? createPlatformaticSink({ library, target, logger: silentLogger })
    : createKafkajsSink({ target, logger: silentLogger })
  await sink.connect()
  return sink
}

/** kafkajs by itself, fed from memory: an idempotent producer, one lane a partition, 500 records a send, nothing else. */
export async function runMemory(settings: ContestantSettings): Promise<ContestantResult> {
  const { facts, partitions, topics } = settings
  const scan = createEnvelopeScan()
  const pool = Array.from({ length: 30_000 }, (_, n) => {
    const value = benchFact(n, 1)
    scanEnvelope(value, scan)
    const headers = {
      event_id: value.toString('latin1', scan.idStart, scan.idEnd),
      event_type: scan.eventType,
      LSN: `1/${n.toString(16).toUpperCase()}`,
    }
    return { key: value.subarray(scan.aggregateIdStart, scan.aggregateIdEnd), value, headers }
  })
  const kafka = new Kafka({ brokers: [...settings.brokers], clientId: 'bench', logLevel: logLevel.NOTHING })
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 5, allowAutoTopicCreation: false })
  await producer.connect()
  const topic = topics[0] as string
  let left = facts
  let next = 0
  let requests = 0
  const lane = async (partition: number): Promise<void> => {
    while (left > 0) {
      const count = Math.min(BATCH, left)
      left -= count
      const at = next % (pool.length - BATCH)
      next += count
      requests++
      const messages = pool
        .slice(at, at + count)
        .map((record) => ({ ...record, partition, timestamp: String(Date.now()) }))
      await producer.send({ topic, messages, acks: -1 })
    }
  }
  const span = startSpan(facts)
  await Promise.all(Array.from({ length: partitions }, (_, partition) => lane(partition)))
  const result = { ...span(), requests: Math.round((requests / facts) * 10_000) }
  await producer.disconnect()
  return result
}
