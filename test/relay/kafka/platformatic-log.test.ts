import { expect, it } from 'vitest'
import { findInLog } from '../../../relay/kafka/find-in-log.ts'
import { openPartitionLog } from '../../../relay/kafka/platformatic-log.ts'
import type { SinkRecord } from '../../../relay/sink/sink.ts'

interface Batch {
  readonly offset: number
  readonly values: string[]
  readonly attributes?: number
}

const record = (value: string): SinkRecord => ({
  key: Buffer.from('k'),
  value: Buffer.from(value),
  headers: { event_id: value },
  timestampMs: 1_000,
})

/** A partition from `first` to its end, as a broker answers for it; outside of it a fetch fails. */
function placeOf(batches: readonly Batch[], { first, end }: { first: number; end: number }) {
  const request = async (_connection: unknown, name: string, ...args: unknown[]) => {
    if (name === 'ListOffsets') {
      const { timestamp } = (args[2] as [{ partitions: [{ timestamp: bigint }] }])[0].partitions[0]
      return { topics: [{ partitions: [{ offset: BigInt(timestamp === -1n ? end : first) }] }] }
    }
    const from = (args[6] as [{ partitions: [{ fetchOffset: bigint }] }])[0].partitions[0].fetchOffset
    if (from < first || from > end) throw Object.assign(new Error('x'), { apiId: 'OFFSET_OUT_OF_RANGE', apiCode: 1 })
    const records = batches
      .filter(({ offset, values }) => BigInt(offset + values.length) > from)
      .map(({ offset, values, attributes = 0 }) => ({
        attributes,
        firstOffset: BigInt(offset),
        lastOffsetDelta: values.length - 1,
        firstTimestamp: 1_000n,
        records: values.map((value, offsetDelta) => ({
          offsetDelta,
          timestampDelta: 0n,
          key: Buffer.from('k'),
          value: Buffer.from(value),
          headers: [[Buffer.from('event_id'), Buffer.from(value)]],
        })),
      }))
    return { responses: [{ partitions: [{ highWatermark: BigInt(end), logStartOffset: BigInt(first), records }] }] }
  }
  const cluster = { refresh: async () => [1], broker: () => ({}), connection: async () => ({}), request }
  return { cluster: cluster as never, topic: 't', partition: 0 }
}

const search = (from: bigint | undefined, ...values: string[]) => ({
  records: values.map(record),
  from,
  sinceMs: 1_000,
})

it('finds a batch when all of it is there, in whatever batches, and not before what was acknowledged', async () => {
  const place = placeOf(
    [
      { offset: 0, values: ['a', 'b'] },
      { offset: 2, values: ['c', 'd'] },
    ],
    { first: 0, end: 4 },
  )
  expect(await findInLog(await openPartitionLog(place), search(undefined, 'a', 'b', 'c'))).toBe(true)
  expect(await findInLog(await openPartitionLog(place), search(undefined, 'a', 'b', 'e'))).toBe(false)
  expect(await findInLog(await openPartitionLog(place), search(2n, 'b'))).toBe(false)
  expect(await findInLog(await openPartitionLog(place), search(4n, 'c'))).toBe(false)
})

it('looks from the time of the try when what was acknowledged is not in the log any more: made again, or expired', async () => {
  const again = placeOf([{ offset: 0, values: ['a', 'b'] }], { first: 0, end: 2 })
  expect(await findInLog(await openPartitionLog(again), search(1_000n, 'a', 'b'))).toBe(true)
  expect(await findInLog(await openPartitionLog(again), search(1_000n, 'c'))).toBe(false)
  const expired = placeOf([{ offset: 50, values: ['a'] }], { first: 50, end: 51 })
  expect(await findInLog(await openPartitionLog(expired), search(10n, 'a'))).toBe(true)
})

it('does not count records of a transaction, which may have been aborted', async () => {
  const place = placeOf(
    [
      { offset: 0, values: ['a'], attributes: 0b010000 },
      { offset: 1, values: ['marker'], attributes: 0b110000 },
    ],
    { first: 0, end: 2 },
  )
  expect(await findInLog(await openPartitionLog(place), search(undefined, 'a'))).toBe(false)
})
