import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { EmitEvent, EmittedFact } from '../diagnostics.ts'
import type { ProduceRequest, ProduceTracer } from './produce-trace.ts'

// The spans that Sentry's Queues page is made of (https://docs.sentry.io/product/insights/backend/queues/), around a fact:
//
//   traceEmissions    queue.publish    in the service, in the trace that emits
//   sentryRelay       queue.relay      in the relay: a trace of its own for each request, linked to those that emitted
//   traceProcessing   queue.process    in a consumer: goes on with the trace that emitted
//
// A relay's own operation is none of the two that the page counts: each fact is published once and processed once.

/** The part of a Sentry span that is needed. */
export interface SentryQueueSpan {
  end(): void
  setStatus(status: { code: number; message?: string }): unknown
}

interface SpanOptions {
  name: string
  op: string
  attributes: Record<string, string | number>
  forceTransaction?: boolean
  onlyIfParent?: boolean
  links?: {
    context: { traceId: string; spanId: string; traceFlags: number }
    attributes?: Record<string, string>
  }[]
}

/** The part of a Sentry SDK that is needed: `@sentry/node` 8 to 11, or an SDK built on it. Links need 9.10 or newer. */
export interface SentryQueueLike {
  startInactiveSpan(options: SpanOptions): SentryQueueSpan
  startSpan<T>(options: SpanOptions, work: () => T): T
  startNewTrace<T>(work: () => T): T
  continueTrace<T>(headers: { sentryTrace: string | undefined; baggage: string | undefined }, work: () => T): T
}

const SYSTEM = { 'messaging.system': 'kafka' }
const ERROR = 2

/**
 * Opens a `queue.publish` span for what is emitted inside a span, from the statement to the database's answer; one for
 * each topic of an array. Returns what ends it.
 *
 * @example
 * ```ts
 * import * as Sentry from '@sentry/node'
 * configure({ prefix: 'shop', trace: sentryTrace(Sentry) })
 * traceEmissions(Sentry)
 * ```
 */
export function traceEmissions(sentry: SentryQueueLike): () => void {
  const open = new WeakMap<object, readonly SentryQueueSpan[]>()
  const listen = (message: unknown) => {
    const { phase, emission, facts } = message as EmitEvent
    if (phase === 'start') {
      open.set(emission, publishSpans(sentry, facts))
      return
    }
    for (const span of open.get(emission) ?? []) {
      if (phase === 'error') span.setStatus({ code: ERROR, message: 'internal_error' })
      span.end()
    }
  }
  subscribe('factlib:emit', listen)
  return () => void unsubscribe('factlib:emit', listen)
}

function publishSpans(sentry: SentryQueueLike, facts: readonly EmittedFact[]): SentryQueueSpan[] {
  const byTopic = new Map<string, EmittedFact[]>()
  for (const fact of facts) byTopic.set(fact.topic, [...(byTopic.get(fact.topic) ?? []), fact])
  return [...byTopic].map(([topic, own]) =>
    sentry.startInactiveSpan({
      name: topic,
      op: 'queue.publish',
      // A fact that is emitted outside any span has no trace to show it in.
      onlyIfParent: true,
      attributes: attributesOf(
        topic,
        own[0]?.id ?? '',
        own.reduce((sum, { bytes }) => sum + bytes, 0),
        own.length,
      ),
    }),
  )
}

function attributesOf(topic: string, id: string, bytes: number, count: number): Record<string, string | number> {
  return {
    ...SYSTEM,
    'messaging.destination.name': topic,
    'messaging.message.id': id,
    'messaging.message.body.size': bytes,
    ...(count > 1 ? { 'messaging.batch.message_count': count } : {}),
  }
}

/**
 * For a relay: each produce request is a short trace of its own, with links to the spans in which its facts were emitted. The
 * emitting trace is not made longer by it, however long a fact waits.
 *
 * @example
 * ```ts
 * import * as Sentry from '@sentry/node'
 * const relay = createRelay({ prefix: 'shop', tracer: sentryRelay(Sentry) })
 * ```
 */
export function sentryRelay(sentry: SentryQueueLike): ProduceTracer {
  return {
    produce: ({ topic, partition, count, bytes, firstId, emittedIn }: ProduceRequest, send) =>
      sentry.startNewTrace(() =>
        sentry.startSpan(
          {
            name: topic,
            op: 'queue.relay',
            forceTransaction: true,
            links: emittedIn.map(({ traceId, spanId, isSampled }) => ({
              context: { traceId, spanId, traceFlags: isSampled ? 1 : 0 },
              attributes: { 'sentry.link.type': 'emitted_in' },
            })),
            attributes: {
              ...attributesOf(topic, firstId, bytes, count),
              'messaging.kafka.destination.partition': partition,
            },
          },
          send,
        ),
      ),
  }
}

/** A record as a consumer got it; of kafkajs: `{ topic, ...message }`. */
export interface ProcessedRecord {
  readonly topic: string
  readonly value?: Uint8Array | null
  /** By name, as an object (kafkajs) or a Map (@platformatic/kafka). */
  readonly headers?: Readonly<Record<string, unknown>> | ReadonlyMap<unknown, unknown> | undefined
  /** Milliseconds since 1970, when it was produced. */
  readonly timestamp?: string | number | bigint
}

export interface ProcessingOptions {
  /** Milliseconds since 1970, for the receive latency; `fact.createdAt` counts the way through PostgreSQL too. Default: the record's timestamp. */
  readonly publishedAtMs?: number
  /** How often this record was tried before. Default 0. */
  readonly retryCount?: number
}

/**
 * Runs `work` in a `queue.process` span that goes on with the trace in which the fact was emitted, with its receive latency.
 *
 * @example
 * ```ts
 * eachMessage: ({ topic, message }) =>
 *   traceProcessing(Sentry, { topic, ...message }, () => handle(decodeFact(message.value)))
 * ```
 */
export function traceProcessing<T>(
  sentry: SentryQueueLike,
  record: ProcessedRecord,
  work: () => T,
  options: ProcessingOptions = {},
): T {
  const { topic, value, timestamp } = record
  const header = (name: string) => headerOf(record, name)
  const publishedAtMs = options.publishedAtMs ?? (timestamp === undefined ? undefined : Number(timestamp))
  const trace = { sentryTrace: header('sentry-trace'), baggage: header('baggage') }
  return sentry.continueTrace(trace, () =>
    sentry.startSpan(
      {
        name: topic,
        op: 'queue.process',
        attributes: {
          ...attributesOf(topic, header('event_id') ?? '', value?.byteLength ?? 0, 1),
          'messaging.message.retry.count': options.retryCount ?? 0,
          ...(publishedAtMs === undefined
            ? {}
            : { 'messaging.message.receive.latency': Math.max(0, Date.now() - publishedAtMs) }),
        },
      },
      work,
    ),
  )
}

/** Headers are bytes in both clients, and names are in one. */
function headerOf({ headers }: ProcessedRecord, name: string): string | undefined {
  let found: unknown
  if (headers instanceof Map) {
    for (const [key, value] of headers) if (text(key) === name) found = value
  } else found = (headers as Readonly<Record<string, unknown>> | undefined)?.[name]
  return found === undefined || found === null ? undefined : text(Array.isArray(found) ? found[0] : found)
}

function text(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : String(value)
}
