import { Kafka, logLevel } from 'kafkajs'
// In your project: from 'factlib/consumer'
import { decodeFact } from '../../src/consumer/index.ts'

const brokers = (process.env['KAFKA_BROKERS'] ?? 'localhost:9092').split(',')
const topic = process.env['TOPIC'] ?? 'shop.user'

const kafka = new Kafka({ brokers, clientId: 'welcome-mails', logLevel: logLevel.NOTHING })
const consumer = kafka.consumer({ groupId: `${topic}-welcome-mails` })
/** In a real service a table, written in the transaction of what the fact causes. */
const done = new Set<string>()

await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
await consumer.run({
  eachMessage: async ({ message }) => {
    const fact = decodeFact(message.value ?? new Uint8Array())
    // Facts of Django have an id here too, the same at each delivery: factlib-relay has given it to them.
    const again = done.has(fact.id)
    done.add(fact.id)
    // Microseconds, whatever the producer counts in: Django in micro-, Go in nanoseconds.
    const createdAt = fact.createdAt.toISOString()
    console.log(
      `${again ? 'again' : 'fact'} ${fact.id} ${fact.eventType} ${fact.aggregateId} ${createdAt} ${fact.text()}`,
    )
  },
})
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void consumer.disconnect())
