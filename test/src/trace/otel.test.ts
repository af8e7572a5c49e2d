import * as api from '@opentelemetry/api'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { encodeFact } from '../../../src/envelope/encode.ts'
import { Fact } from '../../../src/fact.ts'
import { otelTrace } from '../../../src/trace/otel.ts'

// The real SDK of OpenTelemetry, with its own propagator and context.
const provider = new NodeTracerProvider()
beforeAll(() => provider.register())
afterAll(() => provider.shutdown())

const emitted = () =>
  decodeFact(
    encodeFact(
      new Fact({ aggregateType: 'user', aggregateId: 'u-1', eventType: 'user.created' }, { trace: otelTrace(api) }),
    ),
  ).trace

it('takes ids and traceparent from the active span', () => {
  const tracer = api.trace.getTracer('test')
  tracer.startActiveSpan('root', (span) => {
    const { traceId, spanId } = span.spanContext()
    expect(emitted()).toEqual({
      traceId,
      spanId,
      metadata: { parent_op: '', is_sampled: '1', traceparent: `00-${traceId}-${spanId}-01` },
    })
    const baggage = api.propagation.createBaggage({ tenant: { value: 'a' } })
    api.context.with(api.propagation.setBaggage(api.context.active(), baggage), () =>
      expect(emitted()?.metadata).toMatchObject({ baggage: 'tenant=a' }),
    )
    span.end()
  })
})

it('outside any span: present and empty', () => {
  expect(emitted()).toEqual({ traceId: '', spanId: '', metadata: {} })
})
