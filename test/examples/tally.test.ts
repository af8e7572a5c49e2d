import { describe, expect, it, vi } from 'vitest'
import { type Arrival, type Delivery, judge, percentile, Tally } from '../../examples/demo/tally.ts'

const PLACES = ['placed', 'paid']

function arrival(factId: string, eventType: string, aggregateId: string): Arrival {
  return { factId, eventType, aggregateId, topic: 'shop.order', partition: 0, traceId: '', atMs: 0 }
}

const rows = [
  { eventType: 'placed', aggregateId: '1' },
  { eventType: 'paid', aggregateId: '1' },
]
const placed = arrival('a', 'placed', '1')
const paid = arrival('b', 'paid', '1')

describe('the verdict of the demo', () => {
  const clean = { delivered: 2, duplicates: 0, lost: [], phantom: [], outOfOrder: [] }

  it('is clean when each row has arrived once, in order', () => {
    expect(judge([placed, paid], rows, PLACES)).toEqual(clean)
  })

  it('counts a record of a fact that was there before as a duplicate, whatever its order', () => {
    expect(judge([placed, paid, placed], rows, PLACES)).toEqual({ ...clean, duplicates: 1 })
  })

  it('names a row that did not arrive', () => {
    expect(judge([placed], rows, PLACES)).toEqual({ ...clean, delivered: 1, lost: ['paid 1'] })
  })

  it('names a record without a row, and a second fact for one row', () => {
    const rolledBack = arrival('c', 'placed', '2')
    const second = arrival('d', 'paid', '1')
    expect(judge([placed, paid, rolledBack, second], rows, PLACES)).toEqual({
      ...clean,
      phantom: ['placed 2', 'paid 1'],
    })
  })

  it('names a fact that overtook an earlier one of its aggregate', () => {
    expect(judge([paid, placed], rows, PLACES)).toEqual({ ...clean, outOfOrder: ['placed 1'] })
  })
})

describe('the tally of the demo', () => {
  it('tells of a record when it is known to have committed, whichever comes first', () => {
    const told: Delivery[] = []
    const tally = new Tally((delivery) => told.push(delivery))
    tally.arrived({ ...placed, atMs: 10 })
    expect(told).toEqual([])
    tally.committed(['a'], 12)
    tally.committed(['b'], 20)
    tally.arrived({ ...paid, atMs: 25 })
    tally.arrived({ ...paid, atMs: 40 })
    expect(told.map(({ factId, latencyMs, duplicate }) => [factId, latencyMs, duplicate])).toEqual([
      ['a', 0, false],
      ['b', 5, false],
      ['b', 20, true],
    ])
    expect([tally.deliveredCount, tally.committedCount, tally.arrivals.length]).toEqual([2, 2, 3])
  })

  it('resolves what waits as soon as it holds', async () => {
    const tally = new Tally()
    const resolved = vi.fn()
    const waiting = tally.whenDelivered(2).then(resolved)
    tally.committed(['a', 'b'], 0)
    tally.arrived(placed)
    await Promise.resolve()
    expect(resolved).not.toHaveBeenCalled()
    tally.arrived(paid)
    await waiting
  })
})

it('a percentile is the smallest value that so many are not above', () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index)
  expect([percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)]).toEqual([50, 99, 100])
  expect([percentile([7], 0.5), percentile([], 0.5)]).toEqual([7, undefined])
})
