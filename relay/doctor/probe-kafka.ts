import { type InspectedTopic, type KafkaInspection, openKafkaInspection } from '../kafka/kafka-inspection.ts'
import { silentLogger } from '../observer.ts'
import { SinkError } from '../sink/sink.ts'
import type { KafkaTarget } from '../types.ts'
import type { KafkaFacts, Outcome, TopicFacts } from './facts.ts'
import { probeAddress } from './probe-network.ts'

/** A topic that is to be looked at, why, and what is known of its facts. */
export interface WantedTopic {
  readonly name: string
  readonly because: string
  readonly largestFactBytes: number
}

const NOT_A_NAME = 17
const NAME = /^[a-zA-Z0-9._-]{1,249}$/

/**
 * Asks Kafka everything that the checks want to know; changes nothing, writes into no topic, and never throws for what a
 * broker answers.
 *
 * @param prefixes existing topics of these prefixes are looked at, too.
 */
export async function probeKafka(
  target: KafkaTarget,
  wanted: readonly WantedTopic[],
  prefixes: readonly string[],
): Promise<KafkaFacts> {
  const bootstrap = await Promise.all(
    // Without TLS: whether its certificate is sound is another question.
    target.brokers.map(async (address) => ({ address, reach: await probeAddress(address, false) })),
  )
  const nothing = { bootstrap, advertised: [], topics: [] }
  if (bootstrap.every(({ reach }) => !reach.ok))
    return { ...nothing, session: { ok: false, code: 'UNREACHABLE', message: 'no broker can be reached' } }
  let kafka: KafkaInspection
  try {
    kafka = await openKafkaInspection(target, silentLogger)
  } catch (error) {
    return { ...nothing, session: failed(error) }
  }
  try {
    return { bootstrap, ...(await ask(kafka, target, wanted, prefixes)) }
  } catch (error) {
    return { ...nothing, session: failed(error) }
  } finally {
    await kafka.close()
  }
}

async function ask(
  kafka: KafkaInspection,
  target: KafkaTarget,
  wanted: readonly WantedTopic[],
  prefixes: readonly string[],
): Promise<Omit<KafkaFacts, 'bootstrap'>> {
  const all = await kafka.metadata(undefined)
  const names = new Set(wanted.map(({ name }) => name))
  const found = all.topics
    .filter(
      ({ name, isInternal }) => !isInternal && !names.has(name) && prefixes.some((one) => name.startsWith(`${one}.`)),
    )
    .map(({ name }) => ({ name, because: 'it has our prefix', largestFactBytes: 0 }))
  const looked = [...wanted, ...found]
  const possible = looked.filter(({ name }) => NAME.test(name)).map(({ name }) => name)
  const { topics } = possible.length === 0 ? { topics: [] } : await kafka.metadata(possible)
  const byName = new Map(topics.map((topic) => [topic.name, topic]))
  const advertised = await Promise.all(
    all.brokers.map(async ({ nodeId, host, port }) => {
      const address = `${host}:${port}`
      return { nodeId, address, reach: await probeAddress(address, target.tls) }
    }),
  )
  const base = { session: { ok: true } as const, advertised }
  // Everything else is asked of the brokers where they say that they are.
  if (advertised.every(({ reach }) => !reach.ok))
    return { ...base, topics: await inTurn(looked, (topic) => lookAt(undefined, topic, byName.get(topic.name))) }
  const first = all.brokers[0]
  const clock = await kafka.clock().catch(() => undefined)
  const nowMs = Date.now()
  return {
    ...base,
    topics: await inTurn(looked, (topic) => lookAt(kafka, topic, byName.get(topic.name))),
    broker: first && (await kafka.brokerConfig(first.nodeId).catch(() => undefined)),
    producer: await kafka.tryProducer().then((): Outcome => ({ ok: true }), failed),
    clock: clock && { aheadMs: clock.atMs + clock.tookMs / 2 - nowMs, uncertaintyMs: clock.tookMs / 2 },
  }
}

async function lookAt(
  kafka: KafkaInspection | undefined,
  wanted: WantedTopic,
  topic: InspectedTopic | undefined,
): Promise<TopicFacts> {
  const partitions = topic?.partitions ?? []
  const errorCode = topic?.errorCode ?? NOT_A_NAME
  return {
    ...wanted,
    errorCode,
    partitions: partitions.length,
    replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)),
    fewestInSync: Math.min(...partitions.map(({ inSync }) => inSync.length)),
    leaderless: partitions.filter(({ leader }) => leader < 0).length,
    operations: topic?.operations,
    config: errorCode === 0 ? await kafka?.topicConfig(wanted.name).catch(() => undefined) : undefined,
  }
}

async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const item of items) results.push(await work(item))
  return results
}

function failed(error: unknown): Outcome {
  if (error instanceof SinkError) return { ok: false, code: error.type, message: error.message }
  return { ok: false, code: '', message: error instanceof Error ? error.message : String(error) }
}
