import { NO_METADATA } from '../metadata.ts'

/** Where a fact comes from in a distributed trace, as `trace_info` carries it; the relay makes Kafka headers of it. */
export interface Trace {
  /** 32 hex digits; empty without a span. */
  readonly traceId: string
  /** 16 hex digits; empty without a span. */
  readonly spanId: string
  /** `parent_op`, `is_sampled`, `sentry-trace`, `baggage`: each becomes a record header. */
  readonly metadata: Readonly<Record<string, string>>
}

/**
 * Asked once for each fact, when it is built: the trace of the running code, or undefined when there is none.
 * It is called synchronously. When it throws, the fact goes out without a trace.
 */
export type TraceSource = () => Trace | undefined

/** The trace of a fact that was emitted outside any span: present on the wire, and empty, as Django's is. */
export const NO_TRACE: Trace = Object.freeze({ traceId: '', spanId: '', metadata: NO_METADATA })
