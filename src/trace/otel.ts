import type { Trace, TraceSource } from './trace.ts'

/** The part of `@opentelemetry/api` 1.x that is needed. */
export interface OtelLike {
  readonly trace: {
    getActiveSpan():
      | { spanContext(): { readonly traceId: string; readonly spanId: string; readonly traceFlags: number } }
      | undefined
  }
  readonly context: { active(): unknown }
  readonly propagation: { inject(context: never, carrier: Record<string, string>): void }
}

/**
 * Takes a fact's trace from OpenTelemetry's active span: trace id, span id, `is_sampled`, and what the registered propagator
 * writes (`traceparent`, `tracestate`, `baggage`); the relay makes record headers of all of it, and any consumer that reads W3C
 * headers goes on with the trace. Without an active span a fact has an empty trace.
 *
 * @example
 * ```ts
 * import * as api from '@opentelemetry/api'
 * configure({ prefix: 'shop', trace: otelTrace(api) })
 * ```
 */
export function otelTrace(api: OtelLike): TraceSource {
  return () => {
    const span = api.trace.getActiveSpan()
    if (span === undefined) return undefined
    const { traceId, spanId, traceFlags } = span.spanContext()
    const isSampled = (traceFlags & 1) === 1 ? '1' : '0'
    const metadata: Record<string, string> = { parent_op: '', is_sampled: isSampled }
    const carrier: Record<string, string> = {}
    api.propagation.inject(api.context.active() as never, carrier)
    for (const [name, value] of Object.entries(carrier)) if (typeof value === 'string') metadata[name] = value
    return { traceId, spanId, metadata } satisfies Trace
  }
}
