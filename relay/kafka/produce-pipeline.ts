import { SinkError, type SinkRecord } from '../sink/sink.ts'
import type { Broker, Connection, Platformatic } from './platformatic-client.ts'
import type { ApiModule } from './platformatic-cluster.ts'
import { answerOf } from './platformatic-errors.ts'
import { type EncodedBatch, frameProduce, isFlexibleProduce } from './produce-request.ts'
import type { BatchProducer, RecordBatchEncoder } from './record-batch.ts'

// Batches of many partitions → few Produce requests on one connection:
//
//   send(batch) ─▶ waiting ─▶ [ batch | batch | … ] ─▶ one request ─▶ each batch its own answer
//
// Lanes stay what they are, one batch of a partition in flight. What leaves in the same turn of the event loop leaves together:
// a broker reads the requests of a connection one after the other, and waits for its replicas before it reads the next.

/** One batch of one partition; no other one of this partition is open. */
export interface PartitionBatch {
  readonly topic: string
  readonly partition: number
  readonly records: readonly SinkRecord[]
  readonly producer: BatchProducer
  readonly sequence: number
  /** Why it must not be written any more, asked when it is about to leave; undefined: it may. */
  refusal(): SinkError | undefined
}

/** What the broker says of one partition. */
export interface PartitionAnswer {
  readonly errorCode: number
  readonly baseOffset: bigint
}

interface ProduceAnswer {
  readonly responses: readonly {
    readonly name: string
    readonly partitionResponses: readonly ({ readonly index: number } & PartitionAnswer)[]
  }[]
}

interface Waiting {
  readonly batch: PartitionBatch
  readonly resolve: (answer: PartitionAnswer) => void
  readonly reject: (error: unknown) => void
}

/** Requests that a connection may have open; what comes meanwhile leaves together. */
const MOST_OPEN = 2
/** A request that has so many bytes takes no further batch: the broker shall have work while the next one is encoded. */
const FULL_BYTES = 256 * 1024
/**
 * The same, where batches are small. Lanes beyond that go on collecting: 2,400 of them make batches of 10 facts instead of 4, and
 * 1,000 instead of 2,430 of 10,000 facts (bench/sweep.mts, "requests/10k").
 */
const FULL_BATCHES = 64

export class ProducePipeline {
  readonly broker: Broker
  readonly #options: PipelineOptions
  readonly #flexible: boolean
  #waiting: Waiting[] = []
  /** Lanes that have something to send, and collect until there is room for it. */
  #collecting: (() => void)[] = []
  /** Batches that wait, and lanes that were given room, whose batch is on its way here. */
  #expected = 0
  #open = 0
  #scheduled = false
  #closed = false

  constructor(options: PipelineOptions) {
    this.broker = options.broker
    this.#options = options
    this.#flexible = isFlexibleProduce(options.api.api.version)
  }

  /**
   * Resolves to the broker's answer for this partition, whatever its error code.
   *
   * @throws what the library throws when there is no answer; SinkError when it says nothing of this partition, or the
   * `refusal` before the batch left.
   */
  send(batch: PartitionBatch): Promise<PartitionAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject })
      this.#schedule()
    })
  }

  /** Resolves when there is room for a batch; undefined: there is. */
  whenWritable(): Promise<void> | undefined {
    if (this.#closed) return undefined
    if (this.#expected < FULL_BATCHES) {
      this.#expected++
      return undefined
    }
    return new Promise((resolve) => {
      this.#collecting.push(resolve)
      this.#schedule()
    })
  }

  /** Its connection is gone, or given up: nothing is to wait for room here. What was sent has its answer from the library. */
  close(): void {
    this.#closed = true
    for (const resolve of this.#collecting) resolve()
    this.#collecting = []
  }

  #schedule(): void {
    if (this.#scheduled || this.#open >= MOST_OPEN) return
    if (this.#waiting.length === 0 && this.#collecting.length === 0) return
    this.#scheduled = true
    // After what else this turn of the event loop brings: more facts, and answers that free further lanes.
    setImmediate(() => {
      this.#scheduled = false
      while (this.#open < MOST_OPEN && this.#waiting.length > 0) this.#sendSome()
      this.#giveRoom()
      // What was given room may never come: a slot that is lost, a producer that is renewed. Then it is the next ones' turn.
      this.#schedule()
    })
  }

  #giveRoom(): void {
    this.#expected = this.#waiting.length
    const free = Math.min(FULL_BATCHES - this.#expected, this.#collecting.length)
    if (free <= 0) return
    this.#expected += free
    for (const resolve of this.#collecting.splice(0, free)) resolve()
  }

  #sendSome(): void {
    const { connection, api, library, timeoutMs } = this.#options
    const version = api.api.version
    let sent: readonly Waiting[] = []
    let answered = false
    this.#open++
    connection.send(
      0,
      version,
      () => {
        const { encoded, taken } = this.#encodeSome()
        // First of all: whatever fails from here on is their fate.
        sent = taken
        const writer = library.Writer.create()
        for (const piece of frameProduce(version, encoded, timeoutMs)) writer.append(piece)
        return writer
      },
      api.parseResponse as never,
      this.#flexible,
      this.#flexible,
      (error: unknown, answer: unknown) => {
        if (answered) return
        answered = true
        this.#open--
        settleAll(sent, error, (error ? answerOf(error) : answer) as ProduceAnswer | undefined)
        this.#schedule()
      },
    )
  }

  /** The library copies the pieces into the request before this turn ends, so the encoder may use its buffer again. */
  #encodeSome(): { readonly encoded: readonly EncodedBatch[]; readonly taken: readonly Waiting[] } {
    const { encoder, mostBytes } = this.#options
    const taken: Waiting[] = []
    const encoded: EncodedBatch[] = []
    let bytes = 0
    let looked = 0
    encoder.reset()
    for (const waiting of this.#waiting) {
      if (bytes >= FULL_BYTES || taken.length >= FULL_BATCHES) break
      looked++
      const { topic, partition, records, producer, sequence } = waiting.batch
      const refusal = waiting.batch.refusal()
      if (refusal) {
        waiting.reject(refusal)
        continue
      }
      try {
        const one = encoder.encode(records, producer, sequence)
        if (taken.length > 0 && bytes + one.length > mostBytes) {
          // The next request begins with it.
          looked--
          break
        }
        encoded.push({ topic, partition, bytes: one })
        taken.push(waiting)
        bytes += one.length
      } catch (error) {
        // Its own fault, and not of the others in this request.
        waiting.reject(error)
      }
    }
    this.#waiting = this.#waiting.slice(looked)
    if (taken.length === 0) throw new SinkError('retry', 'NOTHING_TO_SEND', 'no batch is left for this request')
    return { encoded, taken }
  }
}

export interface PipelineOptions {
  readonly library: Platformatic
  readonly broker: Broker
  readonly connection: Connection
  readonly encoder: RecordBatchEncoder
  /** The Produce request in the version that this broker knows. */
  readonly api: ApiModule
  /** How long the broker may wait for its replicas, milliseconds. */
  readonly timeoutMs: number
  /**
   * What a request of several batches may have. Brokers close the connection on a longer one than they take: batches that
   * are too long together would fail together for ever.
   */
  readonly mostBytes: number
}

/** To each batch what the answer says of its partition; without an answer the error to all. */
function settleAll(sent: readonly Waiting[], error: unknown, answer: ProduceAnswer | undefined): void {
  if (answer === undefined) {
    for (const { reject } of sent) reject(error)
    return
  }
  const found = new Map<string, PartitionAnswer | 'twice'>()
  for (const { name, partitionResponses } of answer.responses)
    for (const one of partitionResponses) {
      const place = `${name}/${one.index}`
      found.set(place, found.has(place) ? 'twice' : one)
    }
  for (const { batch, resolve, reject } of sent) {
    const place = `${batch.topic}/${batch.partition}`
    const own = found.get(place)
    if (own !== undefined && own !== 'twice') resolve(own)
    else if (found.size === 0 || own === 'twice')
      reject(new SinkError('retry', 'EMPTY_ACKNOWLEDGEMENT', `${place}: the answer does not name the partition`))
    else reject(new SinkError('retry', 'WRONG_ACKNOWLEDGEMENT', `${place}: the answer names other partitions`))
  }
}
