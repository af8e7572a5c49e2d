import { isIP } from 'node:net'
import { SinkError } from '../sink/sink.ts'
import type { KafkaTarget } from '../types.ts'
import type { Broker, Connection, ConnectionOptions, ConnectionPool, Platformatic } from './platformatic-client.ts'
import { answerOf, toSinkError } from './platformatic-errors.ts'

/** One request of the protocol in one version, as the library has them (`produceV9`, …). */
export interface ApiModule {
  readonly api: { readonly key: number; readonly version: number } & ((
    connection: Connection,
    ...args: unknown[]
  ) => void)
  readonly parseResponse: unknown
}

interface MetadataAnswer {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[]
  readonly controllerId: number
  readonly topics: readonly {
    readonly errorCode: number
    readonly name: string | null
    readonly partitions: readonly { readonly partitionIndex: number; readonly leaderId: number }[]
  }[]
}

/** Versions that we know how to ask in; which of them is taken is the broker's and the library's matter. */
const VERSIONS = {
  Produce: { key: 0, module: 'produce', min: 3, max: 11 },
  Fetch: { key: 1, module: 'fetch', min: 4, max: 12 },
  ListOffsets: { key: 2, module: 'listOffsets', min: 1, max: 7 },
  Metadata: { key: 3, module: 'metadata', min: 4, max: 12 },
  CreateTopics: { key: 19, module: 'createTopics', min: 2, max: 7 },
  InitProducerId: { key: 22, module: 'initProducerId', min: 0, max: 5 },
} as const

export type ApiName = keyof typeof VERSIONS

const API_VERSIONS_UNSUPPORTED = 35

/** Connections to the brokers, and who leads what. Retries nothing: each failure is the caller's to judge. */
export class PlatformaticCluster {
  readonly #library: Platformatic
  readonly #pool: ConnectionPool
  readonly #bootstrap: readonly Broker[]
  readonly #brokers = new Map<number, Broker>()
  /** Topic → leader of each partition; -1: none now. */
  readonly #leaders = new Map<string, readonly number[]>()
  readonly #refreshing = new Map<string, Promise<readonly number[]>>()
  readonly #versions = new WeakMap<Connection, Promise<ReadonlyMap<number, readonly [min: number, max: number]>>>()
  readonly #failedAtMs: Map<string, number>
  #controllerId = -1

  /** @param failedAtMs `host:port` → when it last failed us; it outlives this cluster: the next one asks others first. */
  constructor(library: Platformatic, target: KafkaTarget, failedAtMs = new Map<string, number>()) {
    this.#library = library
    this.#failedAtMs = failedAtMs
    this.#bootstrap = target.brokers.map(parseBroker)
    this.#pool = new library.ConnectionPool(target.clientId, connectionOptions(target, this.#bootstrap))
    // A connection that fails twice would end the process: the pool listens to its first error only.
    this.#pool.on('connecting', ({ connection }) => connection.on('error', () => {}))
  }

  /** Asks any broker for the cluster. */
  async check(): Promise<void> {
    await this.#metadata([], 'Kafka does not answer')
  }

  /** Leaders of a topic's partitions from fresh metadata; asked twice at once it is one request. */
  refresh(topic: string): Promise<readonly number[]> {
    let running = this.#refreshing.get(topic)
    if (!running) {
      running = this.#refresh(topic).finally(() => this.#refreshing.delete(topic))
      this.#refreshing.set(topic, running)
    }
    return running
  }

  async #refresh(topic: string): Promise<readonly number[]> {
    const doing = `cannot read the metadata of topic "${topic}"`
    const answer = await this.#metadata([topic], doing)
    const found = answer.topics.find(({ name }) => name === topic)
    if (!found || found.errorCode === 3) {
      this.#leaders.delete(topic)
      throw new SinkError('topicMissing', 'UNKNOWN_TOPIC_OR_PARTITION', `topic "${topic}" does not exist`)
    }
    // 5: some partition has no leader now, which is no reason not to use the others.
    if (found.errorCode !== 0 && found.partitions.length === 0) {
      const { ProtocolError } = this.#library
      throw toSinkError(new ProtocolError(found.errorCode), doing)
    }
    if (found.partitions.length === 0) throw new SinkError('retry', 'NO_PARTITIONS', `${doing}: it names no partitions`)
    const leaders: number[] = new Array(found.partitions.length).fill(-1)
    for (const { partitionIndex, leaderId } of found.partitions) leaders[partitionIndex] = leaderId
    this.#leaders.set(topic, leaders)
    return leaders
  }

  /** Leaders as known; undefined when they must be asked for. */
  leaders(topic: string): readonly number[] | undefined {
    return this.#leaders.get(topic)
  }

  /** After an answer that the leader is another one, or none at all. */
  forget(topic: string): void {
    this.#leaders.delete(topic)
  }

  /** A broker by its id; undefined when metadata does not name it (any more), and for -1, which stands for no leader. */
  broker(nodeId: number): Broker | undefined {
    return this.#brokers.get(nodeId)
  }

  /** @throws SinkError `retry`, or `configuration` when the broker refuses us. */
  async connection(broker: Broker): Promise<Connection> {
    try {
      return await this.#pool.get(broker)
    } catch (error) {
      this.failed(broker)
      throw toSinkError(error, `cannot connect to broker ${broker.host}:${broker.port}`)
    }
  }

  /** The connection to a broker that is up now. */
  established(broker: Broker): Connection | undefined {
    const connection = this.#pool.getEstablishedConnection(broker)
    return connection?.isConnected() ? connection : undefined
  }

  /** Remembered, so that the next question goes to another broker. */
  failed(broker: Broker): void {
    this.#failedAtMs.set(addressOf(broker), performance.now())
  }

  #failedBy({ host, port }: Connection): void {
    if (host !== undefined && port !== undefined) this.failed({ host, port })
  }

  /** A connection to some broker, those first that have not failed lately. */
  async anyConnection(): Promise<Connection> {
    let refusal: SinkError | undefined
    for (const broker of this.#candidates()) {
      try {
        return await this.connection(broker)
      } catch (error) {
        refusal = keepWorst(refusal, error as SinkError)
      }
    }
    throw refusal ?? new SinkError('retry', 'NO_BROKER', 'there is no broker to connect to')
  }

  async controller(): Promise<Connection> {
    await this.check()
    const controller = this.#brokers.get(this.#controllerId)
    return controller ? this.connection(controller) : this.anyConnection()
  }

  /** The newest version of a request that this broker, the library and we have. */
  async api(connection: Connection, name: ApiName): Promise<ApiModule> {
    let asked = this.#versions.get(connection)
    if (!asked) {
      asked = this.#askVersions(connection)
      this.#versions.set(connection, asked)
      asked.catch(() => this.#versions.delete(connection))
    }
    const { key, module, min, max } = VERSIONS[name]
    const versions = await asked.catch((error: unknown) => {
      // A proxy, or a port that is published for a broker that is away, takes the connection and closes it.
      this.#failedBy(connection)
      throw toSinkError(error, 'the broker does not say which requests it knows')
    })
    const [brokerMin, brokerMax] = versions.get(key) ?? [0, -1]
    for (let version = Math.min(max, brokerMax); version >= Math.max(min, brokerMin); version--) {
      const found = (this.#library as unknown as Record<string, ApiModule | undefined>)[`${module}V${version}`]
      if (found) return found
    }
    throw new SinkError(
      'configuration',
      'UNSUPPORTED_VERSION',
      `the broker has no ${name} request in a version that we know (it has ${brokerMin} to ${brokerMax})`,
    )
  }

  /** @throws what the library throws; {@link toSinkError} reads it. */
  async request<Answer>(connection: Connection, name: ApiName, ...args: unknown[]): Promise<Answer> {
    const { api } = await this.api(connection, name)
    return new Promise((resolve, reject) => {
      api(connection, ...args, (error: unknown, answer: Answer) => (error ? reject(error) : resolve(answer)))
    })
  }

  /** Closes all connections; what was asked and not answered fails. */
  async close(): Promise<void> {
    const connections = [...this.#pool].map(([, connection]) => connection)
    const closed = this.#pool.close()
    // In good order it would wait until a broker that does not read has read everything.
    for (const { socket } of connections) socket?.destroy()
    await closed
  }

  async #metadata(topics: readonly string[], doing: string): Promise<MetadataAnswer> {
    const connection = await this.anyConnection()
    const answer = await this.request<MetadataAnswer>(connection, 'Metadata', topics, false, false).catch(
      (error: unknown) => {
        // The library rejects when any partition of any topic has an error; the rest of the answer is good.
        const partial = answerOf(error) as MetadataAnswer | undefined
        if (partial?.topics) return partial
        this.#failedBy(connection)
        throw toSinkError(error, doing)
      },
    )
    this.#controllerId = answer.controllerId
    if (answer.brokers.length > 0) {
      this.#brokers.clear()
      for (const { nodeId, host, port } of answer.brokers) this.#brokers.set(nodeId, { host, port })
    }
    return answer
  }

  async #askVersions(connection: Connection): Promise<ReadonlyMap<number, readonly [number, number]>> {
    const ask = (
      module: ApiModule,
    ): Promise<{ apiKeys: { apiKey: number; minVersion: number; maxVersion: number }[] }> =>
      new Promise((resolve, reject) => {
        module.api(connection, 'factlib', '1', (error: unknown, answer: never) =>
          error ? reject(error) : resolve(answer),
        )
      })
    const { apiVersionsV3, apiVersionsV0 } = this.#library as unknown as Record<string, ApiModule>
    const answer = await ask(apiVersionsV3 as ApiModule).catch((error: unknown) => {
      const { errors } = error as { errors?: readonly { apiCode?: number }[] }
      if (errors?.[0]?.apiCode === API_VERSIONS_UNSUPPORTED) return ask(apiVersionsV0 as ApiModule)
      throw error
    })
    return new Map(answer.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [apiKey, [minVersion, maxVersion]]))
  }

  #candidates(): readonly Broker[] {
    const all = new Map<string, Broker>()
    for (const broker of [...this.#brokers.values(), ...this.#bootstrap]) all.set(addressOf(broker), broker)
    const failedAt = (broker: Broker) => this.#failedAtMs.get(addressOf(broker)) ?? 0
    return [...all.values()].sort((a, b) => failedAt(a) - failedAt(b))
  }
}

function connectionOptions(target: KafkaTarget, bootstrap: readonly Broker[]): ConnectionOptions {
  const { tls, sasl } = target
  return {
    connectTimeout: 3_000,
    requestTimeout: 8_000,
    // Requests of different partitions overlap; more would only wait inside the broker while their time-outs run.
    maxInflights: 5,
    ...(tls === false ? {} : { tls }),
    // SNI, where names are used: it must not be an IP address.
    ...(tls === false || tls.servername || bootstrap.every(({ host }) => isIP(host)) ? {} : { tlsServerName: true }),
    ...(sasl === undefined
      ? {}
      : {
          sasl: {
            mechanism: sasl.mechanism.toUpperCase() as 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512',
            username: sasl.username,
            password: sasl.password,
          },
        }),
  }
}

/** `[::1]:9092`, `broker:9092`, `broker`. */
function parseBroker(address: string): Broker {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(address) ?? []
  return { host: bracketed ?? plain ?? address, port: port === undefined ? 9092 : Number(port) }
}

function addressOf({ host, port }: Broker): string {
  return `${host}:${port}`
}

/** Of several brokers' refusals the one that an operator must mend. */
function keepWorst(one: SinkError | undefined, other: SinkError): SinkError {
  return one?.kind === 'configuration' ? one : other
}
