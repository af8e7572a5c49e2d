import { describe, expect, it } from 'vitest'
import { decodePgoutput, type PgoutputEvents } from '../../../../relay/source/wal/pgoutput.ts'

type Call = readonly unknown[]

function decode(data: Buffer): Call[] {
  const calls: Call[] = []
  const events: PgoutputEvents = {
    onBegin: (...args) => calls.push(['begin', ...args]),
    onMessage: (transactional, lsn, prefix, content) => calls.push(['message', transactional, lsn, prefix, content]),
    onCommit: (...args) => calls.push(['commit', ...args]),
  }
  decodePgoutput(data, events)
  return calls
}

const u8 = (value: number) => Buffer.from([value])
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const u64 = (value: bigint) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

const BEGIN = Buffer.concat([Buffer.from('B'), u64(0x16_b374_d848n), u64(820_000_000_000_000n), u32(777)])
const COMMIT = Buffer.concat([Buffer.from('C'), u8(0), u64(0x16_0000_0001n), u64(0x16_0000_0030n), u64(1n)])
const message = (flags: number, prefix: string, content: Buffer) =>
  Buffer.concat([
    Buffer.from('M'),
    u8(flags),
    u64(0xffff_ffff_ffffn),
    Buffer.from(`${prefix}\0`),
    u32(content.length),
    content,
  ])
const MESSAGE = message(1, 'shop', Buffer.from([1, 0, 2]))

describe('pgoutput', () => {
  it('reads Begin: commit time in microseconds since 1970', () => {
    expect(decode(BEGIN)).toEqual([['begin', 0x16_b374_d848n, 820_000_000_000_000n + 946_684_800_000_000n]])
  })

  it('reads Begin of a time before 2000', () => {
    const early = Buffer.concat([Buffer.from('B'), u64(1n), Buffer.alloc(8, 0xff), u32(1)])
    expect(decode(early)).toEqual([['begin', 1n, 946_684_799_999_999n]])
  })

  it('reads Commit: its end, not its start', () => {
    expect(decode(COMMIT)).toEqual([['commit', 0x16_0000_0030n]])
  })

  it('reads messages, transactional and not, with any bytes and prefix', () => {
    expect(decode(MESSAGE)).toEqual([['message', true, 0xffff_ffff_ffffn, 'shop', Buffer.from([1, 0, 2])]])
    expect(decode(message(0, '', Buffer.alloc(0)))).toEqual([
      ['message', false, 0xffff_ffff_ffffn, '', Buffer.alloc(0)],
    ])
    expect(decode(message(1, 'größe', Buffer.alloc(3)))[0]?.[3]).toBe('größe')
  })

  it.each([...'ORYIUDT'])('passes over %s, which is of tables', (tag) => {
    expect(decode(Buffer.from(`${tag}anything`))).toEqual([])
  })

  it.each([...'SEcAbKPrpz\0'])(
    'refuses the unknown tag %j: a server that is not understood must not be confirmed',
    (tag) => {
      expect(() => decode(Buffer.from(`${tag}anything`))).toThrow(RangeError)
    },
  )

  it.each([
    ['Begin', BEGIN],
    ['Message', MESSAGE],
    ['Commit', COMMIT],
  ])('refuses %s cut at any byte, or with one too many', (_, frame) => {
    for (let length = 0; length < frame.length; length++)
      expect(() => decode(frame.subarray(0, length)), `cut to ${length} bytes`).toThrow(RangeError)
    expect(() => decode(Buffer.concat([frame, u8(0)])), 'one more').toThrow(RangeError)
  })
})
