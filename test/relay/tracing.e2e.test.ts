import * as Sentry from '@sentry/node'
import { afterAll, expect, it } from 'vitest'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact } from '../../src/fact.ts'
import { sentryRelay, sentryTrace, traceProcessing } from '../../src/trace/sentry.ts'
import { readTopic } from '../support/kafka.ts'
import { startNode } from '../support/process.ts'
import { collectSentrySpans } from '../support/sentry-spans.ts'
import { createBench, emitBytes, header } from './relay-bench.ts'

const collected = collectSentrySpans()
afterAll(() => collected.close())

it('a fact’s way from the service over the relay to a consumer, in Sentry', async () => {
  const bench = await createBench()
  await bench.topics({ topic: 'order' })
  const relay = bench.relay({ tracer: sentryRelay(Sentry), traceparentHeader: true })
  await relay.start()
  const input = { aggregateType: 'order', aggregateId: '1', eventType: 'order.created' }
  const { traceId, spanId } = await Sentry.startSpan({ name: 'POST /orders', op: 'http.server' }, async (span) => {
    const fact = new Fact(input, { trace: sentryTrace(Sentry) })
    await emitBytes(bench.database.pool, bench.prefix, Buffer.from(encodeFact(fact)))
    return span.spanContext()
  })
  await bench.commit({})
  await bench.whenAllConfirmed(relay)
  const [record, bare] = await readTopic(bench.brokers, `${bench.prefix}.order`, { untilCount: 2 })
  expect(header(record!, 'traceparent')).toBe(`00-${traceId}-${spanId}-01`)
  expect(header(bare!, 'traceparent')).toBeUndefined()
  traceProcessing(Sentry, { ...record!, headers: Object.fromEntries(record!.headers) }, () => {})

  const spans = await collected.spans()
  const linked = spans.find(({ op, links }) => op === 'queue.relay' && links.some(({ span_id }) => span_id === spanId))
  expect(linked?.links).toEqual([expect.objectContaining({ trace_id: traceId, span_id: spanId })])
  expect(linked?.traceId).not.toBe(traceId)
  expect(linked?.data['messaging.destination.name']).toBe(`${bench.prefix}.order`)
  expect(spans.find(({ op }) => op === 'queue.process')).toMatchObject({ traceId, parentSpanId: spanId })
})

it('the command loads Sentry only when it is asked to, and says what is missing', async () => {
  const bench = await createBench()
  const env = {
    WAL_PREFIX: bench.prefix,
    MASTER_DATABASE_URL: bench.database.url,
    KAFKA_BROKERS: bench.brokers.join(','),
  }
  const relay = startNode('relay/cli/main.ts', ['run'], {
    env: { ...env, RELAY_SENTRY: 'true', HTTP_HOST: '127.0.0.1', WAL_HEALTH_PORT: '0', METRICS_PORT: '0' },
  })
  await relay.whenLine('RELAY_SENTRY: SENTRY_DSN is not set')
  expect(await relay.whenExited()).toMatchObject({ code: 2 })
})
