import fc from 'fast-check'
import type { SinkRecord } from '../../../relay/sink/sink.ts'

/** Records of any key, value and headers, `after` milliseconds after the same moment. */
export function anyRecord(of: {
  readonly text: fc.Arbitrary<string>
  readonly bytes: fc.Arbitrary<Uint8Array>
  readonly mostHeaders: number
  readonly after: fc.Arbitrary<number>
}): fc.Arbitrary<SinkRecord> {
  const { text, bytes, mostHeaders: maxLength, after } = of
  return fc
    .record({ key: bytes, value: bytes, headers: fc.array(fc.tuple(text, text), { maxLength }), after })
    .map(({ key, value, headers, after }) => ({
      key: Buffer.from(key),
      value: Buffer.from(value),
      headers: Object.fromEntries(headers.filter(([name]) => name !== '__proto__')),
      timestampMs: 1_760_000_000_000 + after,
    }))
}
