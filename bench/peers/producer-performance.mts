// Kafka's own measuring tool: what a Java producer does from memory. Values of the facts' size but of random letters, so
// that a codec gains nothing; no keys and no headers; acks=all, idempotent; a JVM as its script starts it, and cold.
import { findJava } from '../../test/support/services/java.ts'
import { kafkaJars, LOG_CONFIG } from '../../test/support/services/kafka-jars.ts'
import type { Arena } from '../relay/run.mts'
import type { ContestantResult } from '../relay/span.mts'
import { measureOutside, type Peer, startPeer } from './outside.mts'

export async function runProducerPerformance(
  arena: Pick<Arena, 'kafka' | 'backlog' | 'topics' | 'codec'>,
): Promise<ContestantResult> {
  const { kafka, backlog, codec } = arena
  const { facts } = backlog.shape
  const topic = arena.topics[0] as string
  const [java, jars] = await Promise.all([findJava(), kafkaJars()])
  const args = ['-Xmx512M', '-server', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20', '-cp', `${jars}/*`]
  args.push(`-Dlog4j2.configurationFile=${LOG_CONFIG}`, 'org.apache.kafka.tools.ProducerPerformance')
  args.push('--topic', topic, '--num-records', String(facts), '--throughput', '-1')
  args.push('--record-size', String(Math.round(backlog.factBytes)), '--producer-props')
  args.push(`bootstrap.servers=${kafka.bootstrap.join(',')}`, 'acks=all', 'enable.idempotence=true')
  args.push(`compression.type=${codec}`)
  let peer: Peer | undefined
  try {
    return await measureOutside({
      name: 'ProducerPerformance',
      brokers: kafka.bootstrap,
      topics: [topic],
      facts,
      start: async () => {
        peer = await startPeer(java, args)
        return peer
      },
    })
  } finally {
    await peer?.stop()
  }
}
