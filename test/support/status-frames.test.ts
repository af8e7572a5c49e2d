import { expect, it } from 'vitest'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact } from '../../src/fact.ts'
import { StatusWatch } from './status-frames.ts'

// The watch must see what is wrong, or a green chaos run means nothing.

const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}
const framed = (tag: string, body: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length + 4)
  return Buffer.concat([Buffer.from(tag), length, body])
}

const fact = new Fact({ aggregateType: 'order', aggregateId: '1', eventType: 'order.made' })

function watched() {
  const watch = new StatusWatch('shop')
  const tap = watch.tap()
  const data = (message: Buffer) =>
    tap('toClient', framed('d', Buffer.concat([Buffer.from('w'), Buffer.alloc(24), message])))
  const parameters = Buffer.from('user\0relay\0replication\0database\0\0')
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + parameters.length, 0)
  head.writeUInt32BE(196_608, 4)
  tap('toServer', Buffer.concat([head, parameters]))
  tap('toClient', framed('W', Buffer.from([0, 0, 0])))
  return {
    watch,
    tap,
    begin: () => data(Buffer.concat([Buffer.from('B'), Buffer.alloc(20)])),
    message: (lsn: bigint, transactional = true) => {
      const content = Buffer.from(encodeFact(fact))
      const length = Buffer.alloc(4)
      length.writeUInt32BE(content.length)
      data(
        Buffer.concat([
          Buffer.from('M'),
          Buffer.from([transactional ? 1 : 0]),
          u64(lsn),
          Buffer.from('shop\0'),
          length,
          content,
        ]),
      )
    },
    commit: (commitLsn: bigint, endLsn: bigint) =>
      data(Buffer.concat([Buffer.from('C'), Buffer.from([0]), u64(commitLsn), u64(endLsn), Buffer.alloc(8)])),
    keepalive: (walEnd: bigint) =>
      tap('toClient', framed('d', Buffer.concat([Buffer.from('k'), u64(walEnd), Buffer.alloc(9)]))),
    status: (lsn: bigint) =>
      tap('toServer', framed('d', Buffer.concat([Buffer.from('r'), u64(lsn), u64(lsn), u64(lsn), Buffer.alloc(9)]))),
  }
}

it('allows the end of a commit, a message of its own, and the idle position', () => {
  const wire = watched()
  wire.begin()
  wire.message(100n)
  wire.commit(120n, 150n)
  wire.message(200n, false)
  wire.keepalive(300n)
  for (const lsn of [0n, 150n, 200n, 300n]) wire.status(lsn)
  expect(wire.watch.problems).toEqual([])
  expect(wire.watch.frames.map(({ confirmedLsn }) => confirmedLsn)).toEqual([0n, 150n, 200n, 300n])
  expect(wire.watch.units.map(({ ids }) => ids)).toEqual([[fact.id], [fact.id]])
})

it.each([
  ['one byte past a commit', 151n],
  ['the commit record itself', 120n],
  ['a message of a transaction', 100n],
  ['a keepalive inside a transaction', 170n],
])('sees the confirmation of %s', (_, lsn) => {
  const wire = watched()
  wire.begin()
  wire.message(100n)
  wire.commit(120n, 150n)
  wire.begin()
  wire.keepalive(170n)
  wire.status(lsn)
  expect(wire.watch.problems).toHaveLength(1)
})

it('sees a position that goes back', () => {
  const wire = watched()
  wire.keepalive(100n)
  wire.keepalive(200n)
  wire.status(200n)
  wire.status(100n)
  expect(wire.watch.problems).toHaveLength(1)
})

it('sees a confirmation before Kafka had the fact, and one without it', () => {
  const wire = watched()
  wire.begin()
  wire.message(100n)
  wire.commit(120n, 150n)
  wire.status(150n)
  const atMs = wire.watch.frames[0]?.atMs as number
  expect(wire.watch.findEarlyConfirmations(() => atMs)).toEqual([])
  expect(wire.watch.findEarlyConfirmations(() => atMs + 1)).toHaveLength(1)
  expect(wire.watch.findEarlyConfirmations(() => undefined)).toHaveLength(1)
})

it('reads frames wherever the chunks end', () => {
  const wire = watched()
  const keepalive = framed('d', Buffer.concat([Buffer.from('k'), u64(700n), Buffer.alloc(9)]))
  for (const byte of keepalive) wire.tap('toClient', Buffer.from([byte]))
  wire.status(700n)
  expect(wire.watch.problems).toEqual([])
})

it('counts the frames of a second', () => {
  const wire = watched()
  for (let frame = 0; frame < 40; frame++) wire.status(0n)
  expect(wire.watch.mostFramesPerSecond).toBe(40)
})
