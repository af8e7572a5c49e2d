import { Registry } from 'prom-client'
import { afterEach, expect, it } from 'vitest'
import { emitWith } from '../../../src/emitter.ts'
import { collectEmitMetrics } from '../../../src/metrics/index.ts'

const input = { aggregateType: 'order', aggregateId: 1, eventType: 'order.created' }
const takes = { execute: async () => {} }
const refuses = { execute: () => Promise.reject(new Error('no')) }
const options = { prefix: 'shop' }

let stop = () => {}
afterEach(() => stop())

it('counts and times what is emitted, and what the database does not take', async () => {
  const registry = new Registry()
  stop = collectEmitMetrics(registry)
  await emitWith(takes, input, options)
  await emitWith(takes, [input, { ...input, eventType: 'order.paid' }], options)
  await emitWith(refuses, input, options).catch(() => {})
  const lines = (await registry.metrics()).split('\n')
  const order = 'aggregate_type="order",event_type="order.created"'
  for (const line of [
    '# TYPE factlib_events_emitted_total counter',
    `factlib_events_emitted_total{${order}} 2`,
    'factlib_events_emitted_total{aggregate_type="order",event_type="order.paid"} 1',
    `factlib_emit_failures_total{${order}} 1`,
    '# TYPE factlib_event_processing_seconds histogram',
    `factlib_event_processing_seconds_bucket{le="+Inf",${order}} 3`,
    `factlib_event_processing_seconds_count{${order}} 3`,
  ])
    expect(lines).toContain(line)
  expect(await registry.getMetricsAsJSON()).toHaveLength(3)
  registry.resetMetrics()
  expect(await registry.metrics()).not.toContain('order')
})

it('ends when it is told to, and may begin again on the same registry', async () => {
  const registry = new Registry()
  collectEmitMetrics(registry)()
  await emitWith(takes, input, options)
  expect(await registry.metrics()).not.toContain('factlib')
  stop = collectEmitMetrics(registry)
  expect(() => collectEmitMetrics(registry)).toThrow('already been registered')
})

it('keeps a bound on its labels, and loses nothing of the sum', async () => {
  const registry = new Registry()
  stop = collectEmitMetrics(registry)
  for (let i = 0; i < 1_010; i++) await emitWith(takes, { ...input, eventType: `order.${i}` }, options)
  const lines = (await registry.metrics())
    .split('\n')
    .filter((line) => line.startsWith('factlib_events_emitted_total{'))
  expect(lines).toHaveLength(1_001)
  expect(lines).toContain('factlib_events_emitted_total{aggregate_type="_other",event_type="_other"} 10')
})
