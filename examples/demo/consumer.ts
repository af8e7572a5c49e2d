import { Kafka, logLevel } from 'kafkajs'
// In your project: from 'factlib/consumer'
import { decodeFact } from '../../src/consumer/index.ts'
import type { Arrival } from './tally.ts'

export interface DemoConsumer {
  close(): Promise<void>
}

/**
 * Reads topics from their beginning, with a plain kafkajs consumer; resolves when it has its partitions.
 *
 * @throws when Kafka does not answer
 */
export async function openConsumer(
  brokers: readonly string[],
  topics: readonly string[],
  onArrival: (arrival: Arrival) => void,
): Promise<DemoConsumer> {
  const kafka = new Kafka({ brokers: [...brokers], clientId: 'factlib-demo', logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({
    groupId: `${topics[0]}-demo`,
    maxWaitTimeInMs: 500,
    // A broker that has just started answers "the coordinator is loading" for a while.
    retry: { retries: 30, initialRetryTime: 100, maxRetryTime: 1_000 },
  })
  const joined = new Promise<void>((resolve, reject) => {
    consumer.on(consumer.events.GROUP_JOIN, () => resolve())
    // It starts again by itself after an error that passes, such as a coordinator that is still loading.
    consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error))
  })
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [...topics], fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ topic, partition, message }) => {
        const atMs = performance.now()
        const fact = decodeFact(message.value ?? new Uint8Array())
        const traceId = message.headers?.['trace_id']?.toString() ?? ''
        const { id: factId, eventType, aggregateId } = fact
        onArrival({ factId, eventType, aggregateId, topic, partition, traceId, atMs })
      },
    })
    await joined
  } catch (error) {
    await consumer.disconnect()
    throw error
  }
  return { close: () => consumer.disconnect() }
}
