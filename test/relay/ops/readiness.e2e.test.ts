import { beforeAll, describe, expect, it } from 'vitest'
import { registerCleanup } from '../../support/cleanup.ts'
import { startNode, type TestProcess } from '../../support/process.ts'
import { type KafkaBroker, type KafkaCluster, startKafka } from '../../support/services/kafka.ts'
import { waitFor } from '../../support/wait.ts'
import { createBench } from '../relay-bench.ts'

/** What an orchestrator may wait for at most. */
const LIMIT_MS = 15_000

let kafka: KafkaCluster
beforeAll(async () => {
  kafka = await startKafka({ name: 'readiness' })
  registerCleanup(() => kafka.remove())
})

async function startRelay(): Promise<{
  ask(path: string): Promise<{ status: number; text: string }>
  process: TestProcess
}> {
  const bench = await createBench({ brokers: kafka.bootstrap })
  const child = startNode('relay/cli/main.ts', ['run'], {
    env: {
      WAL_PREFIX: bench.prefix,
      MASTER_DATABASE_URL: bench.database.url,
      REPLICATION_SLOT_NAME: bench.slot.name,
      PUBLICATION_NAME: bench.slot.publication,
      KAFKA_BROKERS: kafka.bootstrap.join(','),
      HTTP_HOST: '127.0.0.1',
      WAL_HEALTH_PORT: '0',
      METRICS_PORT: '0',
    },
  })
  const { healthPort } = JSON.parse(await child.whenLine('factlib-relay starts', 30_000)) as { healthPort: number }
  return {
    process: child,
    async ask(path) {
      const response = await fetch(`http://127.0.0.1:${healthPort}${path}`)
      return { status: response.status, text: await response.text() }
    },
  }
}

// No fact flows in these: the relay has to look by itself.
describe('an idle relay', () => {
  it.each<[string, (broker: KafkaBroker) => unknown, (broker: KafkaBroker) => unknown]>([
    ['is killed', (broker) => broker.kill(), (broker) => broker.start()],
    ['does not answer', (broker) => broker.pause(), (broker) => broker.resume()],
  ])(
    'whose Kafka %s: /readyz is 503 within 15 s with the reason, and 200 within 15 s of its return',
    async (_how, fail, mend) => {
      const relay = await startRelay()
      const whenStatus = async (status: number, timeoutMs: number) => {
        const sinceMs = performance.now()
        const answer = await waitFor(
          async () => {
            const now = await relay.ask('/readyz')
            return now.status === status ? now : undefined
          },
          { what: `/readyz to be ${status}`, timeoutMs },
        )
        return { ...answer, ms: performance.now() - sinceMs }
      }
      await whenStatus(200, 30_000)
      const [broker] = kafka.brokers as [KafkaBroker]
      await fail(broker)
      const down = await whenStatus(503, LIMIT_MS)
      expect(down.text).toMatch(/^Not OK: .*Kafka/)
      expect((await relay.ask('/health')).status).toBe(503)
      expect(await relay.ask('/livez')).toEqual({ status: 200, text: 'OK' })
      await mend(broker)
      const up = await whenStatus(200, LIMIT_MS)
      expect(up.text).toBe('OK')
      console.info(`503 after ${Math.round(down.ms)} ms, 200 after ${Math.round(up.ms)} ms`)
    },
    120_000,
  )
})
