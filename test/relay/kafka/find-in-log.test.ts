import { expect, it } from 'vitest'
import { findInLog, isInLog, type PartitionLog } from '../../../relay/kafka/find-in-log.ts'
import { silentLogger } from '../../../relay/observer.ts'
import { SinkError, type SinkRecord } from '../../../relay/sink/sink.ts'

const record = (value: string): SinkRecord => ({
  key: Buffer.from('k'),
  value: Buffer.from(value),
  headers: { event_id: value },
  timestampMs: 1_000,
})

/** A log of these values from `first` on; those in brackets are of a transaction. */
function logOf(values: readonly string[], first = 0): PartitionLog & { readonly askedMs: number[] } {
  const askedMs: number[] = []
  const end = BigInt(first + values.length)
  return {
    askedMs,
    first: async () => BigInt(first),
    end: async () => end,
    offsetAt: async (timestampMs) => {
      askedMs.push(timestampMs)
      return values.length === 0 ? undefined : BigInt(first)
    },
    async *read(from, until) {
      for (let offset = from; offset < until; offset++) {
        const value = values[Number(offset) - first] as string
        const text = value.replace(/[()]/g, '')
        yield { ...record(text), partition: 0, offset, inTransaction: value !== text }
      }
    },
  }
}

const batch = (from: bigint | undefined, ...values: string[]) => ({
  records: values.map(record),
  from,
  sinceMs: 100_000,
})

it('finds a batch when all of it is there, and only behind what was acknowledged', async () => {
  const log = logOf(['a', 'b', 'x', 'c'])
  expect(await findInLog(log, batch(0n, 'a', 'b', 'c'))).toBe(true)
  expect(await findInLog(log, batch(0n, 'a', 'b', 'e'))).toBe(false)
  expect(await findInLog(log, batch(2n, 'b'))).toBe(false)
  expect(await findInLog(log, batch(4n, 'c'))).toBe(false)
  expect(log.askedMs).toEqual([])
})

it('wants equal records as often as the batch has them, and tells them by key, value and headers', async () => {
  expect(await findInLog(logOf(['a', 'b']), batch(0n, 'a', 'a'))).toBe(false)
  expect(await findInLog(logOf(['a', 'b', 'a']), batch(0n, 'a', 'a'))).toBe(true)
  const other = [{ ...record('a'), headers: { event_id: 'other' } }]
  expect(await findInLog(logOf(['a']), { records: other, from: 0n, sinceMs: undefined })).toBe(false)
  expect(
    await findInLog(logOf(['a']), { records: [{ ...record('a'), key: Buffer.from('j') }], from: 0n, sinceMs: 0 }),
  ).toBe(false)
})

it('begins at the time of the try, less what clocks may differ, where the end is not known or not in the log', async () => {
  for (const from of [undefined, 10n, 3n]) {
    const log = logOf(['a'], 5)
    expect(await findInLog(log, batch(from, 'a'))).toBe(true)
    expect(log.askedMs).toEqual([40_000])
  }
  expect(await findInLog(logOf([]), batch(undefined, 'a'))).toBe(false)
})

it('does not count records of a transaction, which may have been aborted', async () => {
  expect(await findInLog(logOf(['(a)', 'b']), batch(0n, 'a'))).toBe(false)
  expect(await findInLog(logOf(['(a)', 'b', 'a']), batch(0n, 'a'))).toBe(true)
})

it('a log that can never be read is as one without the batch; any other failure holds the batch', async () => {
  const place = { topic: 't', partition: 0, logger: silentLogger }
  const fails = (kind: 'configuration' | 'retry', type: string) => async () => {
    throw new SinkError(kind, type, 'no')
  }
  expect(await isInLog(place, async () => true)).toBe(true)
  expect(await isInLog(place, fails('configuration', 'TOPIC_AUTHORIZATION_FAILED'))).toBe(false)
  expect(await isInLog(place, fails('configuration', 'KafkaJSNotImplemented'))).toBe(false)
  await expect(isInLog(place, fails('configuration', 'SASL_AUTHENTICATION_FAILED'))).rejects.toThrow()
  await expect(isInLog(place, fails('retry', 'NOT_REPLICATED'))).rejects.toThrow()
})
