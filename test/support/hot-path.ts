import { Session } from 'node:inspector/promises'
import { Delivery } from '../../relay/delivery.ts'
import { Intake } from '../../relay/intake.ts'
import { RecordBatchEncoder } from '../../relay/kafka/record-batch.ts'
import { toLsn } from '../../relay/lsn.ts'
import { silentLogger } from '../../relay/observer.ts'
import { createRelayMetrics } from '../../relay/ops/metrics.ts'
import { interpretMessage } from '../../relay/record.ts'
import type { Sink, SinkRecord } from '../../relay/sink/sink.ts'
import type { SourceSession } from '../../relay/source/source.ts'
import { decodePgoutput } from '../../relay/source/wal/pgoutput.ts'
import { Window } from '../../relay/window.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact } from '../../src/fact.ts'

export interface HotPathShape {
  readonly perTransaction: number
  /** Default 1. */
  readonly topics?: number
  /** Of each topic. Default 12. */
  readonly partitions?: number
  /** False: the sink looks at nothing. Default true: it encodes each request. */
  readonly encode?: boolean
}

export interface HotPathCounts {
  readonly facts: number
  readonly requests: number
}

export interface HotPath {
  /** Brings this many facts from the stream's bytes to encoded requests. */
  run(facts: number): Promise<HotPathCounts>
  /** The same, and how much V8's heap was asked for meanwhile. */
  measureHeap(facts: number): Promise<HotPathCounts & { readonly heapBytesPerFact: number }>
}

const DISTINCT = 5_000
const CHUNK_BYTES = 65_536
/** A request is answered when the stream has brought so many chunks more, about 3,800 facts: a busy broker. */
const ANSWER_TURNS = 20

/**
 * The relay's inside between PostgreSQL's bytes and Kafka's, as relay/relay.ts puts it together: decoder, intake, ledger,
 * window, routes, lanes, metrics and the encoder of batches; no socket, and a sink that answers some turns later.
 */
export function createHotPath({ perTransaction, topics = 1, partitions = 12, encode = true }: HotPathShape): HotPath {
  const encoder = new RecordBatchEncoder({ crc32c: () => 0 })
  let requests = 0
  let sequence = 0
  let turn = 0
  let answered = 0
  const unanswered: Unanswered[] = []
  const sink: Sink = {
    name: 'null',
    async connect() {},
    async check() {},
    partitionCount: async () => partitions,
    async createTopic() {},
    send(_topic, _partition, records: readonly SinkRecord[]) {
      requests++
      if (encode) {
        encoder.reset()
        encoder.encode(records, { id: 1n, epoch: 0 }, sequence)
      }
      sequence = (sequence + records.length) & 0x7fffffff
      return new Promise((resolve) => unanswered.push({ turn: turn + ANSWER_TURNS, resolve }))
    },
    async renew() {},
    async close() {},
  }
  let full = false
  const session = {
    systemId: 1n,
    startLsn: toLsn(1n),
    timeline: 1,
    walEndLsn: toLsn(1n),
    pause() {},
    resume() {},
    confirm() {},
  } as unknown as SourceSession
  const window = new Window(
    { facts: 20_000, bytes: 67_108_864 },
    {
      pause: () => {
        full = true
      },
      resume: () => {
        full = false
      },
    },
  )
  const { observer } = createRelayMetrics()
  const delivery: Delivery = new Delivery({
    sink,
    settings: {
      sendRecords: 500,
      sendBytes: 900_000,
      kafka: { clientId: 'x', brokers: ['x:1'], tls: false, compression: 'none' },
    },
    routes: [],
    logger: silentLogger,
    observer,
    clock: { nowMs: () => performance.now() },
    hold: { mayProduce: true, whenMayProduce: async () => {} },
    events: {
      onDone: (entries) => {
        intake.settle(entries)
        let bytes = 0
        for (const entry of entries) bytes += entry.bytes
        window.remove(entries.length, bytes)
      },
      onDropped() {},
      onReplaced() {},
    },
  })
  const intake: Intake = new Intake({
    window,
    destination: delivery,
    observer,
    accepts: (prefix) => prefix === 'bench',
    interpret: interpretMessage,
    onStarted() {},
    onHalt: (error) => {
      throw error
    },
    onServerStopping() {},
    onDurable() {},
  })
  intake.onStart(session)
  const stream = createStream(perTransaction, topics)

  async function run(facts: number): Promise<HotPathCounts> {
    const before = requests
    for (let left = facts; left > 0; ) {
      if (!full) {
        const { frames, count } = stream.chunk(left)
        for (const frame of frames) decodePgoutput(frame, intake)
        left -= count
      }
      await nextTurn()
    }
    while (intake.pendingFacts > 0) await nextTurn()
    return { facts, requests: requests - before }
  }

  /** As between two reads of a socket: requests are answered, in their order. */
  async function nextTurn(): Promise<void> {
    turn++
    while (unanswered[answered] && (unanswered[answered] as Unanswered).turn <= turn)
      (unanswered[answered++] as Unanswered).resolve()
    if (answered > 1_000) unanswered.splice(0, answered)
    if (answered > 1_000) answered = 0
    await new Promise(setImmediate)
  }

  return {
    run,
    async measureHeap(facts) {
      const inspector = new Session()
      inspector.connect()
      try {
        const flags = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true }
        await inspector.post('HeapProfiler.startSampling', { samplingInterval: 4_096, ...flags })
        const counts = await run(facts)
        const { profile } = await inspector.post('HeapProfiler.stopSampling')
        return { ...counts, heapBytesPerFact: sizeOf(profile.head) / facts }
      } finally {
        inspector.disconnect()
      }
    },
  }
}

interface Unanswered {
  readonly turn: number
  readonly resolve: () => void
}

interface SampledNode {
  readonly selfSize: number
  readonly children: readonly SampledNode[]
}

function sizeOf(node: SampledNode): number {
  return node.children.reduce((sum, child) => sum + sizeOf(child), node.selfSize)
}

/** Begin, messages, Commit, over and over, with positions that go on; the bytes lie in buffers that are used again, as a socket's. */
function createStream(perTransaction: number, topics: number) {
  const messages = Array.from({ length: DISTINCT }, (_, n) => messageFrame(n, topics))
  let at = 0
  let lsn = 0x10_000n
  let inTransaction = 0
  const begins = [...Array(1_000)].map(() => Buffer.alloc(21))
  const commits = [...Array(1_000)].map(() => Buffer.alloc(26))

  function chunk(most: number): { frames: Buffer[]; count: number } {
    const frames: Buffer[] = []
    let count = 0
    for (let bytes = 0, n = 0; bytes < CHUNK_BYTES && count < most; n++) {
      if (inTransaction === 0) {
        const begin = begins[n % begins.length] as Buffer
        begin[0] = 0x42
        begin.writeBigUInt64BE(lsn + 0x1000n, 1)
        frames.push(begin)
      }
      const message = messages[at++ % DISTINCT] as Buffer
      lsn += 0x150n
      message.writeBigUInt64BE(lsn, 2)
      frames.push(message)
      bytes += message.length + 30
      count++
      inTransaction++
      if (inTransaction === perTransaction || count === most) {
        inTransaction = 0
        lsn += 0x2000n
        const commit = commits[n % commits.length] as Buffer
        commit[0] = 0x43
        commit.writeBigUInt64BE(lsn, 10)
        frames.push(commit)
      }
    }
    return { frames, count }
  }
  return { chunk }
}

/** About 287 bytes of content. */
function messageFrame(n: number, topics: number): Buffer {
  const fact = new Fact({
    aggregateType: `order${n % topics}`,
    aggregateId: `6f1f3a52-8c0e-4d4f-9b65-${String(n).padStart(12, '0')}`,
    eventType: n % 2 === 0 ? 'order.placed' : 'order.paid',
    payload: { customer: `customer ${n * 7919}`, total: n / 100, currency: 'EUR', items: 'x'.repeat(90) },
  })
  const content = Buffer.from(encodeFact(fact))
  const head = Buffer.from(`M\x01\0\0\0\0\0\0\0\0bench\0\0\0\0\0`, 'latin1')
  head.writeUInt32BE(content.length, head.length - 4)
  return Buffer.concat([head, content])
}
