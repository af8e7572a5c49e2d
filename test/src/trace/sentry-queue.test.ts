import * as Sentry from '@sentry/node'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { emitWith } from '../../../src/emitter.ts'
import { sentryRelay, sentryTrace, traceEmissions, traceProcessing } from '../../../src/trace/sentry.ts'
import { collectSentrySpans } from '../../support/sentry-spans.ts'

// The real SDK; what it would send is kept.
const collected = collectSentrySpans()
afterAll(() => collected.close())
beforeEach(() => collected.clear())

const withOp = async (op: string) => (await collected.spans()).filter((span) => span.op === op)

const options = { prefix: 'shop', trace: sentryTrace(Sentry) }
const order = { aggregateType: 'order', aggregateId: '1', eventType: 'order.created', payload: 'secret payload' }

describe('traceEmissions', () => {
  it('opens queue.publish for each topic of an emission, with Sentry’s attributes and no payload', async () => {
    const stop = traceEmissions(Sentry)
    const ids = await Sentry.startSpan({ name: 'POST /orders', op: 'http.server' }, () =>
      emitWith({ execute: async () => {} }, [order, order, { ...order, aggregateType: 'user' }], options),
    )
    const refused = Sentry.startSpan({ name: 'refused', op: 'http.server' }, () =>
      emitWith({ execute: () => Promise.reject(new Error('no')) }, order, options),
    )
    await expect(refused).rejects.toThrow()
    await emitWith({ execute: async () => {} }, order, options)
    stop()
    await Sentry.startSpan({ name: 'after', op: 'http.server' }, () =>
      emitWith({ execute: async () => {} }, order, options),
    )
    const roots = await withOp('http.server')
    expect(roots.map(({ name }) => name)).toEqual(['POST /orders', 'refused', 'after'])
    const published = await withOp('queue.publish')
    expect(published.map(({ name, parentSpanId }) => [name, parentSpanId])).toEqual([
      ['shop.order', roots[0]?.spanId],
      ['shop.user', roots[0]?.spanId],
      ['shop.order', roots[1]?.spanId],
    ])
    expect(published[0]?.data).toMatchObject({
      'messaging.system': 'kafka',
      'messaging.destination.name': 'shop.order',
      'messaging.message.id': ids[0],
      'messaging.batch.message_count': 2,
      'messaging.message.body.size': expect.any(Number),
    })
    expect(published.map(({ status }) => status)).toEqual(['ok', 'ok', 'error'])
    expect(JSON.stringify(await collected.spans())).not.toContain('secret payload')
  })
})

describe('sentryRelay', () => {
  it('makes a short trace of its own of each request, linked to those that emitted', async () => {
    const emitting = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), isSampled: true }
    const request = { topic: 'shop.order', partition: 3, count: 2, bytes: 90, firstId: 'f-1', emittedIn: [emitting] }
    const tracer = sentryRelay(Sentry)
    await tracer.produce(request, async () => {})
    await expect(tracer.produce(request, () => Promise.reject(new Error('down')))).rejects.toThrow('down')
    const [first, second] = await withOp('queue.relay')
    expect(first).toMatchObject({
      parentSpanId: undefined,
      status: 'ok',
      links: [{ trace_id: emitting.traceId, span_id: emitting.spanId, sampled: true }],
      data: {
        'messaging.destination.name': 'shop.order',
        'messaging.message.id': 'f-1',
        'messaging.message.body.size': 90,
        'messaging.batch.message_count': 2,
        'messaging.kafka.destination.partition': 3,
      },
    })
    expect(new Set([first?.traceId, second?.traceId, emitting.traceId]).size).toBe(3)
    expect(second?.status).toBe('error')
  })
})

describe('traceProcessing', () => {
  const emitted = () => Sentry.startSpan({ name: 'emit' }, () => sentryTrace(Sentry)()!)
  it.each([
    ['kafkajs', (headers: Record<string, Buffer>) => headers],
    [
      '@platformatic/kafka',
      (headers: Record<string, Buffer>) =>
        new Map(Object.entries(headers).map(([name, value]) => [Buffer.from(name), value])),
    ],
  ])('goes on with the emitting trace, and has the receive latency (%s)', async (_client, shape) => {
    const trace = emitted()
    const headers = shape({
      event_id: Buffer.from('f-1'),
      'sentry-trace': Buffer.from(trace.metadata['sentry-trace'] as string),
      baggage: Buffer.from(trace.metadata['baggage'] as string),
    })
    const record = { topic: 'shop.order', value: Buffer.alloc(40), headers, timestamp: String(Date.now() - 5_000) }
    expect(await traceProcessing(Sentry, record, async () => 'done', { retryCount: 2 })).toBe('done')
    const [processed] = await withOp('queue.process')
    expect(processed).toMatchObject({
      traceId: trace.traceId,
      parentSpanId: trace.spanId,
      data: {
        'messaging.destination.name': 'shop.order',
        'messaging.message.id': 'f-1',
        'messaging.message.body.size': 40,
        'messaging.message.retry.count': 2,
      },
    })
    const latency = processed?.data['messaging.message.receive.latency']
    expect(latency).toBeGreaterThanOrEqual(5_000)
    expect(latency).toBeLessThan(60_000)
  })

  it('of a record without a trace begins one, and an error is told and thrown', async () => {
    const record = { topic: 'shop.order', value: null }
    expect(() =>
      traceProcessing(Sentry, record, () => {
        throw new Error('cannot')
      }),
    ).toThrow('cannot')
    const [only] = await withOp('queue.process')
    expect(only?.status).toBe('error')
    expect(only?.data).not.toHaveProperty('messaging.message.receive.latency')
  })
})
