import { ConfigurationError } from '../../src/errors.ts'
import type { Sink, SinkRecord, StoredRecord } from '../sink/sink.ts'
import type { KafkaTarget, RelayLogger } from '../types.ts'
import { kafkajsCodecs } from './compression.ts'
import { createKafkajsSink } from './kafkajs.ts'
import { createPlatformaticSink } from './platformatic.ts'
import {
  loadPlatformatic,
  nodeRunsPlatformatic,
  PLATFORMATIC_VERSION,
  type Platformatic,
} from './platformatic-client.ts'

// Which Kafka client produces (KAFKA_CLIENT):
//
//   platformatic   the fast one; refused at start where Node.js is too old or it is not installed
//   kafkajs        runs everywhere
//   auto           the fast one where it can run, else kafkajs; says which, and why

/** Kafka as the settings name it; the client is chosen, and the choice checked, by `open()`. */
export interface KafkaSink extends Sink {
  /** @throws ConfigurationError when client, codec and this Node.js do not go together. */
  open(): Promise<void>
}

export interface ClientChoice {
  readonly client: 'platformatic' | 'kafkajs'
  /** Ends a sentence: `… because it is faster`. */
  readonly reason: string
}

/** Where the choice is made; a test passes its own. */
export interface ClientSurroundings {
  readonly nodeVersion: string
  readonly isInstalled: boolean
}

/**
 * Chooses; pure.
 *
 * @throws ConfigurationError with what to do.
 */
export function chooseClient(
  target: Pick<KafkaTarget, 'client' | 'compression'>,
  { nodeVersion, isInstalled }: ClientSurroundings,
  codecsOfKafkajs: readonly string[] = kafkajsCodecs(),
): ClientChoice {
  const { client = 'auto', compression } = target
  const install = `npm install @platformatic/kafka@${PLATFORMATIC_VERSION}`
  const obstacle = !nodeRunsPlatformatic(nodeVersion)
    ? `@platformatic/kafka needs Node.js 22.22 or 24.6 or newer, and this is ${nodeVersion}`
    : isInstalled
      ? undefined
      : `@platformatic/kafka is not installed (${install})`
  if (client === 'platformatic' && obstacle !== undefined)
    throw new ConfigurationError([`KAFKA_CLIENT=platformatic: ${obstacle}`])
  if (client !== 'kafkajs' && obstacle === undefined)
    return {
      client: 'platformatic',
      reason: client === 'auto' ? 'it is installed and faster' : 'KAFKA_CLIENT names it',
    }
  if (!codecsOfKafkajs.includes(compression))
    throw new ConfigurationError([
      `KAFKA_COMPRESSION=${compression}: kafkajs has ${codecsOfKafkajs.join(', ')} on this Node.js` +
        (obstacle === undefined ? '; take KAFKA_CLIENT=auto' : `, and ${obstacle}`),
    ])
  return { client: 'kafkajs', reason: obstacle ?? 'KAFKA_CLIENT names it' }
}

/**
 * The sink of the settings. Nothing is loaded or connected before `open()`, or the first use.
 *
 * @example
 * const sink = openKafkaSink({ target: settings.kafka, logger })
 * await sink.open()
 */
export function openKafkaSink(options: KafkaSinkOptions): KafkaSink {
  return new ChosenSink(options)
}

interface KafkaSinkOptions {
  readonly target: KafkaTarget
  readonly logger: RelayLogger
  /** Bytes of one produce request at most, but for a larger batch alone. Default 900,000. */
  readonly requestBytes?: number
}

class ChosenSink implements Required<KafkaSink> {
  readonly #options: KafkaSinkOptions
  #sink: Sink | undefined
  #opening: Promise<Sink> | undefined

  constructor(options: KafkaSinkOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#sink?.name ?? 'kafka'
  }

  async open(): Promise<void> {
    await this.#opened()
  }

  async connect(): Promise<void> {
    await (await this.#opened()).connect()
  }

  async check(): Promise<void> {
    await (await this.#opened()).check()
  }

  async partitionCount(topic: string): Promise<number> {
    return (await this.#opened()).partitionCount(topic)
  }

  async createTopic(topic: string, partitions: number, replicationFactor: number): Promise<void> {
    await (await this.#opened()).createTopic(topic, partitions, replicationFactor)
  }

  whenWritable(topic: string, partition: number): Promise<void> | undefined {
    return this.#sink?.whenWritable?.(topic, partition)
  }

  send(topic: string, partition: number, records: readonly SinkRecord[], mayLeave?: () => boolean): Promise<void> {
    if (this.#sink) return this.#sink.send(topic, partition, records, mayLeave)
    return this.#opened().then((sink) => sink.send(topic, partition, records, mayLeave))
  }

  async readAll(topic: string, onRecord: (record: StoredRecord) => void): Promise<void> {
    await (await this.#opened()).readAll?.(topic, onRecord)
  }

  async renew(): Promise<void> {
    await (await this.#opened()).renew()
  }

  async close(): Promise<void> {
    const sink = await this.#opening?.catch(() => undefined)
    await sink?.close()
  }

  #opened(): Promise<Sink> {
    this.#opening ??= this.#open()
    return this.#opening
  }

  async #open(): Promise<Sink> {
    const { target, logger } = this.#options
    const nodeVersion = process.versions.node
    const mayLoad = target.client !== 'kafkajs' && nodeRunsPlatformatic(nodeVersion)
    const library = mayLoad ? await loadPlatformatic() : undefined
    const { client, reason } = chooseClient(target, { nodeVersion, isInstalled: library !== undefined })
    logger.info({ client, reason, compression: target.compression }, 'the Kafka client')
    this.#sink =
      client === 'platformatic'
        ? createPlatformaticSink({ ...this.#options, library: library as Platformatic })
        : createKafkajsSink({ target, logger })
    return this.#sink
  }
}
