import { describe, expect, it } from 'vitest'
import { murmur2, partitionFor } from '../../relay/partitioner.ts'
import { type OwlpostRecord, owlpostRecords } from './owlpost-records.ts'

const keyed = owlpostRecords.flatMap((vector) =>
  vector.records.map((record): [string, OwlpostRecord] => [vector.name, record]),
)

describe('partitioner', () => {
  it('has keys of all lengths of the last block, for 3 and 7 partitions', () => {
    expect(keyed.filter(([name]) => name.startsWith('key_p3_'))).toHaveLength(12)
    expect(keyed.filter(([name]) => name.startsWith('key_p7_'))).toHaveLength(8)
    expect(new Set(keyed.map(([, record]) => (record.key_hex.length / 2) % 4))).toEqual(new Set([0, 1, 2, 3]))
  })

  it.each(keyed)('%s: where OwlPost put it', (_, record) => {
    const key = Buffer.from(record.key_hex, 'hex')
    expect(murmur2(key)).toBe(record.murmur2)
    expect(partitionFor(key, record.num_partitions)).toBe(record.partition)
  })

  // org.apache.kafka.common.utils.UtilsTest#testMurmur2, as unsigned numbers.
  it.each<[string, number]>([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('murmur2("%s") as Java', (text, expected) => {
    expect(murmur2(Buffer.from(text))).toBe(expected >>> 0)
  })

  it('takes a view into a larger buffer, and an empty key', () => {
    const buffer = Buffer.from('xxfoobarxx')
    expect(murmur2(buffer.subarray(2, 8))).toBe(murmur2(Buffer.from('foobar')))
    expect(murmur2(new Uint8Array(0))).toBe(275_646_681)
    expect(partitionFor(new Uint8Array(0), 1)).toBe(0)
  })
})
