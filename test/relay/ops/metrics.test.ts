import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createRelayMetrics, LABEL_PAIRS_MAX, RELAY_METRICS } from '../../../relay/ops/metrics.ts'
import { renderMetricsDoc } from '../../../relay/ops/metrics-doc.ts'
import { ERROR_TYPES_MAX, TOPICS_MAX } from '../../../relay/ops/metrics-table.ts'
import type { RelayStats } from '../../../relay/types.ts'

test('the metrics of OwlPost have their names, types and labels; all others begin otherwise', () => {
  const ours = /^(factlib_relay_|process_)/
  const table = Object.values(RELAY_METRICS).map(({ name, type, labels }) => `${name} ${type} ${labels.join(',')}`)
  expect(table.filter((line) => !ours.test(line)).sort()).toEqual([
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

test('what is under way is read from the relay that it watches, when somebody asks', async () => {
  const { watch, text, registry } = createRelayMetrics()
  expect(await text()).not.toMatch(/^factlib_relay_ready /m)
  const slot = { confirmedLagBytes: 7, restartLagBytes: 8, walBudgetBytes: 9, walBudgetSeconds: undefined }
  const stats: RelayStats = {
    phase: 'streaming',
    slotName: 's',
    pendingFacts: 3,
    pendingBytes: 4_000,
    lanes: { open: 5, busy: 2 },
    unconfirmedSeconds: 1.5,
    behindSeconds: 0.25,
    heartbeatSeconds: 0.5,
    slot,
  }
  watch({ stats: () => stats, readiness: () => ({ ok: false, reason: 'x' }) })
  const lines = (await text()).split('\n')
  for (const line of [
    'factlib_relay_ready 0',
    'factlib_relay_phase{phase="streaming"} 1',
    'factlib_relay_phase{phase="standby"} 0',
    'factlib_relay_pending_facts 3',
    'factlib_relay_pending_bytes 4000',
    'factlib_relay_lanes{state="busy"} 2',
    'factlib_relay_lanes{state="idle"} 3',
    'factlib_relay_unconfirmed_seconds 1.5',
    'factlib_relay_behind_seconds 0.25',
    'factlib_relay_heartbeat_seconds 0.5',
    'factlib_relay_slot_confirmed_lag_bytes{slot="s"} 7',
    'factlib_relay_slot_restart_lag_bytes{slot="s"} 8',
    'factlib_relay_slot_wal_budget_bytes{slot="s"} 9',
  ])
    expect(lines).toContain(line)
  expect(lines.filter((line) => line.startsWith('factlib_relay_slot_wal_budget_seconds'))).toEqual([])
  expect(lines.find((line) => line.startsWith('factlib_relay_build_info{'))).toContain(
    `node="${process.versions.node}"`,
  )
  expect(await registry.getMetricsAsJSON()).toHaveLength(Object.keys(RELAY_METRICS).length)
  registry.resetMetrics()
})

test('retries, dead letters and foreign messages are counted by cause; deliveries are timed', async () => {
  const { observer, text } = createRelayMetrics()
  observer.produceFailed('shop.order', 'NOT_LEADER')
  observer.replicationError('s', '57P01')
  observer.handlerFailed('order', 'order.paid')
  observer.deadLettered?.('too_large', 'shop.order')
  observer.foreign?.()
  observer.delivered?.(0.02)
  const lines = (await text()).split('\n')
  for (const line of [
    'factlib_relay_retries_total{cause="kafka:NOT_LEADER"} 1',
    'factlib_relay_retries_total{cause="postgres:57P01"} 1',
    'factlib_relay_retries_total{cause="handler"} 1',
    'factlib_relay_dead_letters_total{cause="too_large"} 1',
    'factlib_relay_foreign_messages_total 1',
    'factlib_relay_delivery_seconds_bucket{le="0.025"} 1',
  ])
    expect(lines).toContain(line)
})

test('topics and names of errors have a bound, too', async () => {
  const { observer, text } = createRelayMetrics()
  for (let i = 0; i < TOPICS_MAX + 5; i++) observer.produced(`topic-${i}`, 1, 0.001)
  for (let i = 0; i < ERROR_TYPES_MAX + 5; i++) observer.produceFailed('topic-0', `ERROR_${i}`)
  const lines = (await text()).split('\n')
  expect(lines).toContain('factlib_kafka_produce_success_total{topic="_other"} 5')
  expect(lines).toContain('factlib_kafka_produce_failures_total{topic="topic-0",error_type="_other"} 5')
})

test('two relays in one process keep their metrics apart', async () => {
  const [a, b] = [createRelayMetrics(), createRelayMetrics()]
  a.observer.consumed('order', 'x')
  expect(await b.text()).not.toContain('factlib_events_consumed_total{')
})

test('docs/metrics.md is current (npx tsx scripts/docs-relay.ts)', () => {
  expect(readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8')).toBe(renderMetricsDoc())
})
