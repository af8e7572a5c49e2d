import type { Trace, TraceSource } from './trace.ts'

export type { EmittingSpan, ProduceRequest, ProduceTracer } from './produce-trace.ts'
export {
  type ProcessedRecord,
  type ProcessingOptions,
  type SentryQueueLike,
  type SentryQueueSpan,
  sentryRelay,
  traceEmissions,
  traceProcessing,
} from './sentry-queue.ts'

/** The part of a Sentry span that is needed. */
export interface SentrySpanLike {
  spanContext(): {
    readonly traceId: string
    readonly spanId: string
    /** Bit 0: sampled. */
    readonly traceFlags: number
    /** Not a span of this process, but the caller's: versions 8 to 10 show it as active where no span was started. */
    readonly isRemote?: boolean | undefined
  }
}

/** The part of a Sentry SDK that is needed: `@sentry/node` 8 to 11, or an SDK built on it (nextjs, nestjs, bun, …). */
export interface SentryLike {
  getActiveSpan(): SentrySpanLike | undefined
  spanToJSON(span: SentrySpanLike): object
  /** What Sentry itself would send with a request; the first 8.x have none. */
  getTraceData?(): { readonly 'sentry-trace'?: string | undefined; readonly baggage?: string | undefined }
  spanToTraceHeader(span: SentrySpanLike): string
  spanToBaggageHeader(span: SentrySpanLike): string | undefined
}

/**
 * Takes a fact's trace from Sentry's active span: trace id, span id, and as metadata `parent_op` (the active span's own
 * operation, as Django's factlib names it), `is_sampled`, and `sentry-trace` and `baggage`, with which any consumer
 * that uses Sentry continues the trace. The SDK is handed in, so that it is the one that the application has set up.
 * Without an active span a fact has an empty trace.
 *
 * An unsampled span keeps no operation in versions 8 to 10 (nor a child of one in 11): `parent_op` is '' then.
 *
 * @example
 * ```ts
 * import * as Sentry from '@sentry/node'
 * configure({ prefix: 'shop', trace: sentryTrace(Sentry) })
 * ```
 */
export function sentryTrace(sentry: SentryLike): TraceSource {
  return () => {
    const span = sentry.getActiveSpan()
    if (span === undefined) return undefined
    const { traceId, spanId, traceFlags, isRemote } = span.spanContext()
    if (isRemote === true) return undefined
    const metadata: Record<string, string> = {
      parent_op: operation(sentry.spanToJSON(span)),
      is_sampled: (traceFlags & 1) === 1 ? '1' : '0',
    }
    const { sentryTraceHeader, baggage } = propagation(sentry, span)
    if (sentryTraceHeader) metadata['sentry-trace'] = sentryTraceHeader
    if (baggage) metadata['baggage'] = baggage
    return { traceId, spanId, metadata } satisfies Trace
  }
}

/** Where the operation is depends on the version: `op` (8 to 10), an attribute (11), in between `data`. */
function operation(json: object): string {
  const { op, data, attributes } = json as {
    readonly op?: unknown
    readonly data?: { readonly [name: string]: unknown }
    readonly attributes?: { readonly [name: string]: unknown }
  }
  const found = op ?? attributes?.['sentry.op'] ?? data?.['sentry.op']
  return typeof found === 'string' ? found : ''
}

function propagation(sentry: SentryLike, span: SentrySpanLike) {
  if (sentry.getTraceData === undefined) {
    const baggage = sentry.spanToBaggageHeader(span)
    // No baggage: the SDK is not initialised, and its header would tell a consumer not to sample.
    return { sentryTraceHeader: baggage && sentry.spanToTraceHeader(span), baggage }
  }
  const data = sentry.getTraceData()
  return { sentryTraceHeader: data['sentry-trace'], baggage: data.baggage }
}
