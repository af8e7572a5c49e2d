import { randomInt } from 'node:crypto'
import { SinkError, type SinkRecord } from '../sink/sink.ts'
import type { KafkaTarget } from '../types.ts'
import { COMPRESSION, codecs, type Message, type PartitionerArgs, type Producer } from './kafkajs-client.ts'
import { toSinkError } from './kafkajs-errors.ts'
import { latestTimestampMs } from './record-batch.ts'
import { RecordsWriter } from './records-writer.ts'

// Records that kafkajs carries and does not encode. For each record and each header it makes an encoder with a buffer of 512 bytes,
// for each number another buffer. 22 to 24 µs of CPU a record so, 10 to 12 this way (bench/sink.mts). The rest
// stays with kafkajs: brokers, sequences, tries of its own, the batch's header and checksum, the answer.
//
//   producer.send({ messages: placeholders, compression: 8·k + codec })
//     ├▶ the batch's header: as many records as placeholders; attributes: the last three bits of the number, so the codec
//     └▶ CompressionCodecs[8·k + codec]().compress(placeholders) ─▶ our records, compressed by CompressionCodecs[codec]
//
// `CompressionCodecs` is where kafkajs is given codecs (https://kafka.js.org/docs/producing#compression). Why nothing else is written:
//
// - A number is one batch's and is never given again: a send that was given up and goes on later finds no codec, and fails.
//   Each try of kafkajs' own asks again, and gets the same bytes.
// - A kafkajs that does not ask would write the placeholders. The first of each batch says that 1 GB follows, and nothing does:
//   brokers refuse the batch, compressed or not. The fault then says what is wrong, and blames no record.

/** Of the broker, to wait for its replicas; below the request time-out. */
const PRODUCE_TIMEOUT_MS = 6_000
/** As long as the varint 2^30 - 1, which it writes in place of its length: what kafkajs copies is what it wants copied. */
const UNWRITABLE: Buffer = Object.assign(Buffer.alloc(5), {
  copy: (target: Buffer, at: number): number => target.writeUIntBE(0xfeffffff07, at - 1, 5),
})
/** Of a timestamp: kafkajs sorts them as texts. */
const TIMESTAMP_DIGITS = 16

/** So many stay for later batches. While brokers refuse, each batch that is tried again has one, and lanes may be thousands. */
const WRITERS_KEPT = 8

/** Not from 1: another copy of this module may give numbers to the same kafkajs. */
let lastNumber = randomInt(2 ** 40)

interface FirstMessage extends Message {
  onTry?(): void
}

/** Every record names its partition; the relay owns the partitioner. kafkajs asks again at each try of its own. */
export function partitionOfMessage({ message }: PartitionerArgs): number {
  ;(message as FirstMessage).onTry?.()
  return message.partition as number
}

/**
 * Makes batches for one producer after the other; its buffers are used again.
 *
 * @example
 * const batch = new EncodedBatches(target.compression).open(partition, records)
 * try {
 *   const answer = await batch.send(producer, topic)
 * } finally {
 *   batch.close()
 * }
 */
export class EncodedBatches {
  readonly #codec: number
  /** Those that no batch has. While all is well as many are taken at once as there are brokers: kafkajs encodes when it is a batch's turn. */
  readonly #writers: RecordsWriter[] = []

  constructor(codec: KafkaTarget['compression']) {
    this.#codec = COMPRESSION[codec]
  }

  /** The batch must be closed. Its records must not change before. */
  open(partition: number, records: readonly SinkRecord[]): EncodedBatch {
    return new EncodedBatch({ codec: this.#codec, partition, records, writers: this.#writers })
  }
}

export class EncodedBatch {
  readonly #codec: number
  readonly #number: number
  readonly #partition: number
  readonly #writers: RecordsWriter[]
  #records: readonly SinkRecord[] | undefined
  #writer: RecordsWriter | undefined
  #tries = 0
  #wasAsked = false

  constructor(options: {
    readonly codec: number
    readonly partition: number
    readonly records: readonly SinkRecord[]
    readonly writers: RecordsWriter[]
  }) {
    this.#codec = options.codec
    this.#partition = options.partition
    this.#records = options.records
    this.#writers = options.writers
    this.#number = 8 * ++lastNumber + this.#codec
    const codec = { compress: () => this.#encode(), decompress: neverAsked }
    codecs[this.#number] = () => codec
  }

  /** How often kafkajs took it up. */
  get tries(): number {
    return this.#tries
  }

  /**
   * Resolves to what kafkajs says of it, which may be `[]`.
   *
   * @throws what kafkajs throws; SinkError `configuration` when this kafkajs does not ask for the records.
   */
  async send(producer: Pick<Producer, 'send'>, topic: string): ReturnType<Producer['send']> {
    try {
      const answer = await producer.send({
        topic,
        messages: this.#placeholders(),
        acks: -1,
        timeout: PRODUCE_TIMEOUT_MS,
        compression: this.#number,
      })
      if (answer.length > 0 && !this.#wasAsked) throw notAsked(topic)
      return answer
    } catch (error) {
      // Not the records' fault: they were never looked at.
      if (this.#tries > 0 && !this.#wasAsked && toSinkError(error, '').kind === 'record') throw notAsked(topic, error)
      throw error
    } finally {
      this.close()
      if (this.#writer && this.#writers.length < WRITERS_KEPT) {
        this.#writer.reset()
        this.#writers.push(this.#writer)
      }
    }
  }

  /** From now on kafkajs gets nothing of it, whatever becomes of a send that is still under way. May be called twice. */
  close(): void {
    delete codecs[this.#number]
    this.#records = undefined
  }

  /** As many as there are records: kafkajs counts sequences by them. Of their times it makes the batch's first and latest. */
  #placeholders(): Message[] {
    const records = this.#records ?? []
    const placeholder = (timestampMs: number) => ({
      key: null,
      value: null,
      partition: this.#partition,
      timestamp: String(timestampMs).padStart(TIMESTAMP_DIGITS, '0'),
    })
    const messages: Message[] = new Array(records.length).fill(placeholder(latestTimestampMs(records)))
    const first: FirstMessage = {
      ...placeholder(records[0]?.timestampMs ?? 0),
      value: UNWRITABLE,
      onTry: () => void this.#tries++,
    }
    messages[0] = first
    return messages
  }

  /** The bytes stay as they are until the send has settled: the writer is this batch's alone. */
  async #encode(): Promise<Buffer> {
    if (this.#records === undefined) throw new SinkError('retry', 'CLOSED', 'the batch was given up')
    this.#wasAsked = true
    this.#writer ??= this.#writers.pop() ?? new RecordsWriter()
    const end = this.#writer.write(this.#records, 0)
    const buffer = this.#writer.bytes.subarray(0, end)
    if (this.#codec === COMPRESSION.none) return buffer
    const codec = codecs[this.#codec]
    if (!codec) throw new SinkError('configuration', 'NO_CODEC', `kafkajs has no codec ${this.#codec}`)
    return codec().compress({ buffer })
  }
}

function notAsked(topic: string, cause?: unknown): SinkError {
  const message = `cannot produce to "${topic}": this kafkajs is not 2.2.4, and does not write what the relay gives it`
  return new SinkError('configuration', 'KAFKAJS_VERSION', message, { cause })
}

/** Consumers look for a codec by its own number. */
async function neverAsked(): Promise<never> {
  throw new Error('a number above 7 stands in no batch')
}
