import type { EmittingSpan, ProduceTracer } from '../../src/trace/produce-trace.ts'
import type { Sink, SinkRecord } from './sink.ts'

/** A request has hundreds of records; more links than this say nothing more. */
const LINKS_MAX = 32

/** A sink whose requests are traced. All else is the sink's own. */
export function traceSink<S extends Sink>(sink: S, tracer: ProduceTracer): S {
  const send: Sink['send'] = (topic, partition, records, mayLeave) =>
    tracer.produce(
      {
        topic,
        partition,
        count: records.length,
        bytes: records.reduce((sum, { value }) => sum + value.length, 0),
        firstId: records[0]?.headers['event_id'] ?? '',
        emittedIn: emittingSpans(records),
      },
      () => sink.send(topic, partition, records, mayLeave),
    )
  return new Proxy(sink, {
    get: (target, name) => {
      if (name === 'send') return send
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function emittingSpans(records: readonly SinkRecord[]): EmittingSpan[] {
  const spans = new Map<string, EmittingSpan>()
  for (const { headers } of records) {
    const { trace_id: traceId, span_id: spanId, is_sampled: isSampled } = headers
    // Anything may be in there: it came from another process.
    if (!/^[0-9a-f]{32}$/.test(traceId ?? '') || !/^[0-9a-f]{16}$/.test(spanId ?? '')) continue
    spans.set(spanId as string, { traceId: traceId as string, spanId: spanId as string, isSampled: isSampled === '1' })
    if (spans.size === LINKS_MAX) break
  }
  return [...spans.values()]
}
