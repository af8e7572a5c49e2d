import { Kafka, logLevel } from 'kafkajs'
import { afterEach, beforeAll, expect } from 'vitest'
import { decideSinkFault } from '../../relay/policy.ts'
import { type Sink, SinkError, type SinkRecord } from '../../relay/sink/sink.ts'
import { SinkGate } from '../../relay/sink/sink-gate.ts'
import type { KafkaTarget, RelayLogger } from '../../relay/types.ts'
import { registerCleanup } from '../support/cleanup.ts'
import { createTopics, highWatermarks, type NewTopic, type TopicRecord } from '../support/kafka.ts'
import { type ProxyTap, startProxy, type TestProxy } from '../support/proxy.ts'
import { type KafkaCluster, startKafka } from '../support/services/kafka.ts'
import { waitFor } from '../support/wait.ts'

/** What a client's test file says of it. */
export interface SinkUnderTest {
  readonly client: 'kafkajs' | 'platformatic'
  readonly codecs: readonly KafkaTarget['compression'][]
  /** Percent of a core that it may take with nothing to do. */
  readonly mostIdlePercent: number
  create(options: { readonly target: KafkaTarget; readonly logger: RelayLogger }): Promise<Sink>
}

export interface SinkFixture extends Omit<SinkUnderTest, 'create'> {
  readonly cluster: () => KafkaCluster
  /** Of each broker, in their order. */
  readonly proxies: () => readonly TestProxy[]
  /** What the sinks of the running test logged. */
  readonly logged: string[]
  /** Closed at the end of the test. */
  sink(target?: Partial<KafkaTarget>): Promise<Sink>
  connectedSink(target?: Partial<KafkaTarget>): Promise<Sink>
  /** Sends as the relay's lanes do: the same batch until it is durable, with their pauses (a tenth of them). */
  sendUntilDurable(sink: Sink, topic: string, partition: number, batch: readonly SinkRecord[]): Promise<SinkError[]>
  /** Lanes over one gate, as the relay has them; stops when `done` says so. */
  startLanes(sink: Sink, topic: string, partitions: number): Lanes
  /** Resolves when each partition's leader knows that it leads. */
  createTopic(topic: NewTopic): Promise<void>
  addPartitions(topic: string, count: number): Promise<void>
  /** What Java's console consumer prints: headers, a tab, the value. */
  printWithJava(topic: string, count: number): Promise<string[]>
  /** Size of a topic's first partition on disk, bytes. */
  logBytes(topic: string): Promise<number>
  /** The next good answer that a proxy passes on to a Produce request for partition 0 (up to version 8) has this code. */
  answerInstead(answer: { readonly topic: string; readonly errorCode: number }): void
}

export interface Lanes {
  /** Records that are durable, by partition. */
  readonly durable: readonly number[]
  readonly faults: Map<string, number>
  /** What they went through, for a failure that is seen once. */
  story(): string
  /** When each partition has so many batches more. */
  whenProgressed(batches: number): Promise<void>
  /** Lets the batches in flight become durable. */
  stop(): Promise<void>
}

const BATCH = 20
/** Not a fixed date: brokers delete what is older than their retention. */
const STARTED_MS = Date.now()

/** Starts three brokers with every kind of listener for the file. */
export function createSinkFixture(under: SinkUnderTest): SinkFixture {
  let started: KafkaCluster | undefined
  const proxies: TestProxy[] = []
  const logged: string[] = []
  let instead: { readonly good: Buffer; readonly errorCode: number } | undefined

  /** Alters bytes in place, before the proxy passes them on. */
  const alter: ProxyTap = (direction, chunk) => {
    if (direction !== 'toClient' || instead === undefined) return
    const at = chunk.indexOf(instead.good)
    if (at < 0) return
    chunk.writeInt16BE(instead.errorCode, at + instead.good.length - 2)
    instead = undefined
  }

  beforeAll(async () => {
    started = await startKafka({
      brokers: 3,
      name: under.client,
      sasl: true,
      tls: true,
      settings: { 'unclean.leader.election.enable': 'false' },
      proxy: async (port, brokerId) => {
        const proxy = await startProxy({ port }, () => alter)
        proxies[brokerId - 1] = proxy
        return proxy.port
      },
    })
    registerCleanup(() => started?.remove())
    // A fresh cluster says "loading" for a moment.
    const sink = await under.create({ target: targetOf({}), logger: silent })
    await waitFor(() => sink.connect().then(() => true), {
      what: 'the brokers to give a producer id',
      timeoutMs: 30_000,
    })
    await sink.close()
  }, 180_000)

  // A test that failed may have left some frozen or dead.
  afterEach(async () => {
    for (const broker of started?.brokers ?? []) {
      broker.resume()
      if (broker.pid === undefined) await broker.start()
    }
    for (const proxy of proxies) {
      proxy.blackhole(false)
      proxy.refuse(false)
    }
  }, 120_000)

  const cluster = () => started as KafkaCluster
  const note = (fields: object, message: string) => void logged.push(`${message} ${JSON.stringify(fields)}`)
  const logger: RelayLogger = { debug: note, info: note, warn: note, error: note }

  function targetOf(target: Partial<KafkaTarget>): KafkaTarget {
    return { clientId: 'factlib.contract', brokers: cluster().bootstrap, tls: false, compression: 'none', ...target }
  }

  async function withAdmin<T>(work: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
    const admin = new Kafka({ brokers: cluster().bootstrap, logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    try {
      return await work(admin)
    } finally {
      await admin.disconnect()
    }
  }

  const fixture: SinkFixture = {
    ...under,
    cluster,
    proxies: () => proxies,
    logged,

    async sink(target = {}) {
      logged.length = 0
      const sink = await under.create({ target: targetOf(target), logger })
      registerCleanup(() => sink.close())
      return sink
    },

    async connectedSink(target) {
      const sink = await fixture.sink(target)
      // "Loading" is an answer, too, of brokers that a test before has just started again.
      await waitFor(() => sink.connect().then(() => true), {
        what: 'the brokers to take a producer',
        timeoutMs: 30_000,
      })
      return sink
    },

    async sendUntilDurable(sink, topic, partition, batch) {
      const faults: SinkError[] = []
      for (;;) {
        try {
          await sink.send(topic, partition, batch)
          return faults
        } catch (error) {
          if (!(error instanceof SinkError)) throw error
          faults.push(error)
          const { action, delayMs } = decideSinkFault(error, faults.length)
          if (action === 'isolate' || faults.length > 200) throw error
          if (action === 'renew') await sink.renew()
          await pause(delayMs / 10)
        }
      }
    },

    startLanes(sink, topic, partitions) {
      const gate = new SinkGate(sink, { delay: (ms) => pause(ms / 10) })
      const durable: number[] = new Array(partitions).fill(0)
      const faults = new Map<string, number>()
      const listeners = new Set<() => void>()
      let stopping = false
      let defect: unknown

      async function run(partition: number): Promise<void> {
        for (let next = 0; !stopping; next += BATCH) {
          const batch = records(BATCH, next)
          for (let attempt = 1; ; attempt++) {
            try {
              await gate.send(topic, partition, batch)
              break
            } catch (error) {
              if (!(error instanceof SinkError)) throw error
              faults.set(error.type, (faults.get(error.type) ?? 0) + 1)
              const { action, delayMs } = decideSinkFault(error, attempt)
              if (action === 'renew') void gate.renew()
              await pause(delayMs / 10)
            }
          }
          durable[partition] = next + BATCH
          for (const listener of [...listeners]) listener()
        }
      }
      const all = Promise.all(Array.from({ length: partitions }, (_, partition) => run(partition)))
      all.catch((error: unknown) => {
        defect = error
        for (const listener of [...listeners]) listener()
      })
      const lanes: Lanes = {
        durable,
        faults,
        story: () =>
          [
            JSON.stringify({ durable, faults: Object.fromEntries(faults), renewals: gate.renewals }),
            ...logged.filter((line) => !line.startsWith('kafkajs ')).slice(-30),
          ].join('\n'),
        whenProgressed(batches) {
          const goals = durable.map((count) => count + batches * BATCH)
          return new Promise((resolve, reject) => {
            const timer = setTimeout(() => {
              listeners.delete(look)
              reject(
                new Error(
                  `the lanes made no progress in 90 s to ${goals}: ${lanes.story()}\n${logged.slice(-20).join('\n')}`,
                ),
              )
            }, 90_000)
            const look = () => {
              const reached = durable.every((count, partition) => count >= (goals[partition] as number))
              if (!reached && defect === undefined) return
              clearTimeout(timer)
              listeners.delete(look)
              if (defect === undefined) resolve()
              else reject(defect)
            }
            listeners.add(look)
          })
        },
        async stop() {
          stopping = true
          await all
          gate.close()
        },
      }
      return lanes
    },

    async createTopic(topic) {
      await createTopics(cluster().bootstrap, [topic])
      const ends = () => highWatermarks(cluster().bootstrap, [topic.topic])
      await waitFor(() => ends().then(() => true), { what: `the leaders of ${topic.topic}` })
    },

    addPartitions: (topic, count) =>
      withAdmin(async (admin) => {
        await admin.createPartitions({ topicPartitions: [{ topic, count }] })
      }),

    async printWithJava(topic, count) {
      const printed = await cluster().tool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
        ...['--bootstrap-server', cluster().bootstrap.join(','), '--topic', topic, '--from-beginning'],
        ...['--max-messages', String(count), '--timeout-ms', '20000', '--property', 'print.headers=true'],
      ])
      return printed.trim().split('\n')
    },

    async logBytes(topic) {
      const args = ['--bootstrap-server', cluster().bootstrap.join(','), '--describe', '--topic-list', topic]
      const printed = await cluster().tool('org.apache.kafka.tools.LogDirsCommand', args)
      const line = printed.split('\n').find((one) => one.startsWith('{'))
      const size = /"size":(\d+)/.exec(line ?? '')?.[1]
      if (size === undefined) throw new Error(`no size in: ${printed}`)
      return Number(size)
    },

    answerInstead({ topic, errorCode }) {
      const good = Buffer.alloc(2 + topic.length + 10)
      good.writeInt16BE(topic.length)
      good.write(topic, 2)
      // One partition, number 0, no error.
      good.writeInt32BE(1, 2 + topic.length)
      instead = { good, errorCode }
    },
  }
  return fixture
}

/** Whoever leads a partition, and who follows, as the cluster says now. */
export async function replicasOf(
  cluster: KafkaCluster,
  topic: string,
  partition = 0,
): Promise<{ leader: number; followers: number[]; inSync: number }> {
  const admin = new Kafka({ brokers: cluster.bootstrap, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    const found = topics[0]?.partitions.find(({ partitionId }) => partitionId === partition)
    if (!found) throw new Error(`no partition ${partition} of ${topic}`)
    const { leader, replicas, isr } = found
    return { leader, followers: replicas.filter((one) => one !== leader), inSync: isr.length }
  } finally {
    await admin.disconnect()
  }
}

export function record(n: number): SinkRecord {
  const value = JSON.stringify({ n, text: 'a fact of the contract suite, alike in all but its number '.repeat(3) })
  return {
    key: Buffer.from(`key-${n % 7}`),
    value: Buffer.from(value),
    headers: { event_id: `id-${n}`, event_type: 'contract', LSN: '0/15E8A90' },
    timestampMs: STARTED_MS + n,
  }
}

export function records(count: number, from: number): SinkRecord[] {
  return Array.from({ length: count }, (_, index) => record(from + index))
}

export function values(found: readonly TopicRecord[]): number[] {
  return found.map(({ value }) => JSON.parse(String(value)).n as number)
}

/** The SinkError of a call that must fail. */
export async function faultOf(work: Promise<unknown>): Promise<SinkError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(SinkError)
  return error as SinkError
}

const silent: RelayLogger = { debug() {}, info() {}, warn() {}, error() {} }

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
