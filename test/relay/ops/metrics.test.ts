import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createRelayMetrics, LABEL_PAIRS_MAX, RELAY_METRICS } from '../../../relay/ops/metrics.ts'
import { renderMetricsDoc } from '../../../relay/ops/metrics-doc.ts'

test('every metric has the name, type and labels that dashboards for OwlPost have', () => {
  const table = Object.values(RELAY_METRICS).map(({ name, type, labels }) => `${name} ${type} ${labels.join(',')}`)
  expect(table.sort()).toEqual([
    'factlib_event_handler_failures_total counter aggregate_type,event_type',
    'factlib_event_handler_latency_seconds histogram aggregate_type,event_type',
    'factlib_event_handler_success_total counter aggregate_type,event_type',
    'factlib_events_consumed_total counter aggregate_type,event_type',
    'factlib_kafka_produce_failures_total counter topic,error_type',
    'factlib_kafka_produce_latency_seconds histogram topic',
    'factlib_kafka_produce_success_total counter topic',
    'factlib_wal_replication_errors_total counter slot,error_type',
  ])
})

test('what is observed is read as Prometheus text', async () => {
  const { observer, text, contentType } = createRelayMetrics()
  observer.consumed('order', 'order.created')
  observer.consumed('order', 'order.created')
  observer.consumed('a "b"\\\n', '')
  observer.handled('order', 'order.created', 0.005)
  observer.handled('order', 'order.created', 0.3)
  observer.handled('order', 'order.created', 11)
  observer.handlerFailed('order', 'order.paid')
  observer.produced('shop.order', 3, 0.02)
  observer.produceFailed('shop.order', 'UNKNOWN_TOPIC')
  observer.replicationError('factlib_slot', 'ECONNRESET')
  expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
  const lines = (await text()).split('\n')
  const order = 'aggregate_type="order",event_type="order.created"'
  for (const line of [
    '# TYPE factlib_events_consumed_total counter',
    `factlib_events_consumed_total{${order}} 2`,
    'factlib_events_consumed_total{aggregate_type="a \\"b\\"\\\\\\n",event_type=""} 1',
    `factlib_event_handler_success_total{${order}} 3`,
    'factlib_event_handler_failures_total{aggregate_type="order",event_type="order.paid"} 1',
    '# TYPE factlib_event_handler_latency_seconds histogram',
    // A value on a bound belongs to that bound: le is "less or equal".
    `factlib_event_handler_latency_seconds_bucket{le="0.005",${order}} 1`,
    `factlib_event_handler_latency_seconds_bucket{le="0.25",${order}} 1`,
    `factlib_event_handler_latency_seconds_bucket{le="0.5",${order}} 2`,
    `factlib_event_handler_latency_seconds_bucket{le="10",${order}} 2`,
    `factlib_event_handler_latency_seconds_bucket{le="+Inf",${order}} 3`,
    `factlib_event_handler_latency_seconds_sum{${order}} 11.305`,
    `factlib_event_handler_latency_seconds_count{${order}} 3`,
    'factlib_kafka_produce_success_total{topic="shop.order"} 3',
    'factlib_kafka_produce_failures_total{topic="shop.order",error_type="UNKNOWN_TOPIC"} 1',
    'factlib_kafka_produce_latency_seconds_bucket{le="0.025",topic="shop.order"} 1',
    'factlib_kafka_produce_latency_seconds_count{topic="shop.order"} 1',
    'factlib_wal_replication_errors_total{slot="factlib_slot",error_type="ECONNRESET"} 1',
  ]) {
    expect(lines).toContain(line)
  }
})

test('event types without end do not grow the metrics without end, and none is lost from the sums', async () => {
  const { observer, text } = createRelayMetrics()
  for (let i = 0; i < LABEL_PAIRS_MAX + 50; i++) observer.consumed('order', `order.${i}`)
  observer.consumed('order', 'order.0')
  const lines = (await text()).split('\n').filter((line) => line.startsWith('factlib_events_consumed_total{'))
  expect(lines).toHaveLength(LABEL_PAIRS_MAX + 1)
  expect(lines).toContain('factlib_events_consumed_total{aggregate_type="_other",event_type="_other"} 50')
  expect(lines).toContain('factlib_events_consumed_total{aggregate_type="order",event_type="order.0"} 2')
})

test('two relays in one process keep their metrics apart', async () => {
  const [a, b] = [createRelayMetrics(), createRelayMetrics()]
  a.observer.consumed('order', 'x')
  expect(await b.text()).not.toContain('factlib_events_consumed_total{')
})

test('docs/metrics.md is current (npx tsx scripts/docs-relay.ts)', () => {
  expect(readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8')).toBe(renderMetricsDoc())
})
