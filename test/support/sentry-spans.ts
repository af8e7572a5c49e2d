import * as Sentry from '@sentry/node'

/** A span as the SDK sends it. */
export interface SentSpan {
  readonly name: string
  readonly op: unknown
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly status: string
  readonly data: Readonly<Record<string, unknown>>
  readonly links: readonly { readonly trace_id: string; readonly span_id: string; readonly sampled?: boolean }[]
}

interface SpanItem {
  readonly name: string
  readonly trace_id: string
  readonly span_id: string
  readonly parent_span_id?: string
  readonly status: string
  readonly attributes: Readonly<Record<string, { readonly value: unknown }>>
  readonly links?: SentSpan['links']
}

/** Sets the real SDK up, once in a process, with a transport that keeps what would be sent. */
export function collectSentrySpans(): {
  /** All spans so far, after what is under way has been flushed. */
  spans(): Promise<readonly SentSpan[]>
  clear(): void
  close(): Promise<void>
} {
  const sent: SentSpan[] = []
  Sentry.init({
    dsn: 'https://public@127.0.0.1/1',
    defaultIntegrations: false,
    tracesSampleRate: 1,
    transport: () => ({
      send: async (envelope) => {
        for (const [{ type }, payload] of envelope[1] as [{ type: string }, { items: SpanItem[] }][])
          if (type === 'span') sent.push(...payload.items.map(toSpan))
        return {}
      },
      flush: async () => true,
    }),
  })
  return {
    async spans() {
      await Sentry.flush(2_000)
      return sent
    },
    clear: () => void sent.splice(0),
    async close() {
      await Sentry.close(0)
    },
  }
}

function toSpan({ name, trace_id, span_id, parent_span_id, status, attributes, links = [] }: SpanItem): SentSpan {
  const data = Object.fromEntries(Object.entries(attributes).map(([key, { value }]) => [key, value]))
  const ids = { traceId: trace_id, spanId: span_id, parentSpanId: parent_span_id }
  return { name, op: data['sentry.op'], ...ids, status, data, links }
}
