import { expect, it } from 'vitest'
import { encodeFact } from '../../src/envelope/encode.ts'
import { createBench, emit, emitBytes, type RelayBench } from '../relay/relay-bench.ts'
import { python } from '../src/golden-vectors.ts'
import { createTopics, readTopic } from '../support/kafka.ts'
import { startNode } from '../support/process.ts'

const SLOW = 90_000

function relayVariables({ prefix, database, slot, brokers }: RelayBench): Record<string, string> {
  return {
    WAL_PREFIX: prefix,
    MASTER_DATABASE_URL: database.url,
    REPLICATION_SLOT_NAME: slot.name,
    PUBLICATION_NAME: slot.publication,
    KAFKA_BROKERS: brokers.join(','),
  }
}

it('examples/relay sends users to their topic and audits to its function', { timeout: SLOW }, async () => {
  const bench = await createBench()
  const userTopic = `${bench.prefix}-user-events`
  await createTopics(bench.brokers, [{ topic: userTopic }])
  const example = startNode('examples/relay/main.ts', [], { env: { ...relayVariables(bench), USER_TOPIC: userTopic } })
  await example.whenLine('relaying', 30_000)
  await bench.commit(
    { aggregateType: 'user', aggregateId: '7', eventType: 'user.created' },
    { aggregateType: 'audit', eventType: 'audit.written', payload: { who: 'ada' } },
  )
  await example.whenLine('audit: audit.written {"who":"ada"}')
  const [user, ...more] = await readTopic(bench.brokers, userTopic, { untilCount: 1 })
  expect([user?.key?.toString(), more]).toEqual(['7', []])
  example.signal('SIGTERM')
  expect(await example.whenExited()).toEqual({ code: 0, signal: null })
  expect(example.output()).toMatch(/\nstopped\n$/)
})

it('examples/django-interop takes facts of Django and of Node, and knows a fact that comes again', {
  timeout: SLOW,
}, async () => {
  const bench = await createBench()
  await bench.topics({ topic: 'user' })
  const topic = `${bench.prefix}.user`
  await bench.createSlot()
  // What Django's own client has once sent, sent again by plain SQL.
  const django = python.vectors.find(({ name }) => name === 'no_sentry_init_minimal')
  await emitBytes(bench.database.pool, bench.prefix, Buffer.from(django?.bytes_hex ?? '', 'hex'))
  const input = { aggregateType: 'user', aggregateId: 'u-2', eventType: 'user.created', payload: 'y' }
  const fromNode = await emit(bench.database.pool, bench.prefix, input)
  // The same fact once more, as it comes after a fault.
  await emitBytes(bench.database.pool, bench.prefix, Buffer.from(encodeFact(fromNode)))

  const relay = startNode('relay/cli/main.ts', [], {
    env: { ...relayVariables(bench), HTTP_HOST: '127.0.0.1', WAL_HEALTH_PORT: '0', METRICS_PORT: '0' },
  })
  await readTopic(bench.brokers, topic, { untilCount: 3 })
  const consumer = startNode('examples/django-interop/main.ts', [], {
    env: { KAFKA_BROKERS: bench.brokers.join(','), TOPIC: topic },
  })
  const ofDjango = await consumer.whenLine(/^fact \S+ user\.created u-1 .* x$/, 30_000)
  const ofNode = await consumer.whenLine(/^fact \S+ user\.created u-2 .* y$/)
  expect(ofDjango.split(' ')[1]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-/)
  // The time is the one that Django wrote.
  expect(ofDjango).toContain(' 2026-11-21T08:09:26.238Z ')
  expect(ofNode.split(' ')[1]).toBe(fromNode.id)
  await consumer.whenLine(`again ${fromNode.id}`)
  await relay.kill()
})
