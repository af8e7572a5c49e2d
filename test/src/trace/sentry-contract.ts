import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { encodeFact } from '../../../src/envelope/encode.ts'
import { Fact } from '../../../src/fact.ts'
import { type SentryLike, sentryTrace } from '../../../src/trace/sentry.ts'
import type { Trace } from '../../../src/trace/trace.ts'

/** What the contract needs of an SDK beyond what sentryTrace needs: to set it up, and to open spans. */
export interface SentryUnderTest extends SentryLike {
  readonly SDK_VERSION: string
  init(options: object): unknown
  close(timeoutMs?: number): PromiseLike<boolean>
  startSpan<T>(options: { name: string; op?: string }, work: () => T): T
  continueTrace<T>(headers: { sentryTrace: string; baggage: string }, work: () => T): T
}

export type Tracing = 'on' | 'off' | 'not initialised'

/**
 * What sentryTrace does with one version of the SDK, beside what Django's client was recorded to do (the `sentry_…` vectors). An SDK
 * is set up once in a process, so each version and each way of tracing has a test file of its own.
 */
export function describeSentryTrace(sentry: SentryUnderTest, tracing: Tracing): void {
  const major = Number(sentry.SDK_VERSION.split('.')[0])
  const source = sentryTrace(sentry)
  const emitted = (): Trace => {
    const fact = new Fact({ aggregateType: 'user', aggregateId: 'u-1', eventType: 'user.created' }, { trace: source })
    return decodeFact(encodeFact(fact)).trace!
  }
  const inSpan = (name: string, op: string | undefined): Trace =>
    sentry.startSpan(op === undefined ? { name } : { name, op }, emitted)
  const none = { traceId: '', spanId: '', metadata: {} }
  const upstream = {
    sentryTrace: '771a43a4192642f0b136d5159a501700-1234567890abcdef-1',
    baggage: 'sentry-trace_id=771a43a4192642f0b136d5159a501700,sentry-sampled=true,sentry-environment=upstream',
  }

  beforeAll(() => {
    if (tracing === 'not initialised') return
    sentry.init({
      dsn: 'https://public@127.0.0.1/1',
      environment: 'test',
      release: 'shop@1',
      defaultIntegrations: false,
      transport: () => ({ send: async () => ({}), flush: async () => true }),
      ...(tracing === 'on' && {
        tracesSampler: ({ name }: { name: string }) => (name.startsWith('unsampled') ? 0 : 1),
      }),
    })
  })
  afterAll(async () => void (await sentry.close(0)))

  describe(`@sentry/node ${sentry.SDK_VERSION}, tracing ${tracing}`, () => {
    it('outside any span: present and empty', () => {
      expect(emitted()).toEqual(none)
    })

    if (tracing === 'on') describeTracing()
    if (tracing === 'off') {
      it('never says that it is sampled, nor names an operation that was not kept', () => {
        const trace = inSpan('root', 'http.server')
        // Some versions of 10 have no active span then; the others have one that records nothing.
        if (trace.traceId === '' && major === 10) return expect(trace).toEqual(none)
        expect(trace.traceId).toMatch(/^[0-9a-f]{32}$/)
        expect(trace.spanId).toMatch(/^[0-9a-f]{16}$/)
        expect(trace.metadata).toMatchObject({ parent_op: '', is_sampled: '0' })
      })
    }
    if (tracing === 'not initialised') {
      it('has the ids of the span, not sampled, and nothing to continue it by', () => {
        const trace = inSpan('root', 'http.server')
        expect(trace.traceId).toMatch(/^[0-9a-f]{32}$/)
        expect(trace.spanId).toMatch(/^[0-9a-f]{16}$/)
        expect({ ...trace.metadata }).toEqual({ parent_op: '', is_sampled: '0' })
      })
    }
  })

  function describeTracing(): void {
    it('takes ids, operation and sampling from the active span, and what continues the trace', () => {
      const trace = inSpan('root', 'http.server')
      expect(trace.traceId).toMatch(/^[0-9a-f]{32}$/)
      expect(trace.spanId).toMatch(/^[0-9a-f]{16}$/)
      expect(Object.keys(trace.metadata).toSorted()).toEqual(['baggage', 'is_sampled', 'parent_op', 'sentry-trace'])
      expect(trace.metadata).toMatchObject({
        parent_op: 'http.server',
        is_sampled: '1',
        'sentry-trace': `${trace.traceId}-${trace.spanId}-1`,
      })
      expect(trace.metadata['baggage']).toContain(`sentry-trace_id=${trace.traceId}`)
      expect(trace.metadata['baggage']).toContain('sentry-environment=test')
    })

    it('takes the CURRENT span’s operation, inside a child and after it', () => {
      sentry.startSpan({ name: 'root', op: 'http.server' }, () => {
        const outer = emitted()
        const inner = inSpan('child', 'db.query')
        const after = emitted()
        expect(inner.metadata['parent_op']).toBe('db.query')
        expect(inner.traceId).toBe(outer.traceId)
        expect(inner.spanId).not.toBe(outer.spanId)
        expect(after).toEqual(outer)
      })
      expect(emitted()).toEqual(none)
    })

    it.each([undefined, ''])('has an empty operation for a span of operation %o', (op) => {
      expect(inSpan('root', op).metadata).toMatchObject({ parent_op: '', is_sampled: '1' })
    })

    it('says that a span is not sampled', () => {
      const trace = inSpan('unsampled', 'http.server')
      expect(trace.traceId).toMatch(/^[0-9a-f]{32}$/)
      expect(trace.metadata).toMatchObject({ is_sampled: '0', 'sentry-trace': `${trace.traceId}-${trace.spanId}-0` })
      expect(['', 'http.server']).toContain(trace.metadata['parent_op'])
      if (major >= 11) expect(trace.metadata['parent_op']).toBe('http.server')
    })

    it('continues a trace that came in', () => {
      const trace = sentry.continueTrace(upstream, () => inSpan('consumer', 'queue.process'))
      expect(trace.traceId).toBe('771a43a4192642f0b136d5159a501700')
      expect(trace.spanId).not.toBe('1234567890abcdef')
      expect(trace.metadata).toMatchObject({
        parent_op: 'queue.process',
        is_sampled: '1',
        'sentry-trace': `771a43a4192642f0b136d5159a501700-${trace.spanId}-1`,
      })
      expect(trace.metadata['baggage']).toContain('sentry-trace_id=771a43a4192642f0b136d5159a501700')
    })

    it('does not take the caller’s span for one of its own', () => {
      expect(sentry.continueTrace(upstream, emitted)).toEqual(none)
    })

    it('keeps spans of concurrent work apart', async () => {
      const work = (n: number) =>
        sentry.startSpan({ name: `root ${n}`, op: `op ${n}` }, async () => {
          await new Promise((done) => setImmediate(done))
          return emitted()
        })
      const traces = await Promise.all([1, 2, 3].map(work))
      expect(traces.map(({ metadata }) => metadata['parent_op'])).toEqual(['op 1', 'op 2', 'op 3'])
      expect(new Set(traces.map(({ spanId }) => spanId)).size).toBe(3)
    })
  }
}
