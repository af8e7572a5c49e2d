import { describe, expect, it } from 'vitest'
import { partitionFor } from '../../relay/partitioner.ts'
import { settled } from './entries.ts'
import { Bench, keyIn, keys } from './lanes-bench.ts'
import type { Request } from './scripted-sink.ts'

describe('the lanes of a topic', () => {
  it('wait for the topic, in order, and go on by themselves when it is there', async () => {
    const bench = new Bench(undefined)
    await bench.push('a', 'b', 'c')
    expect(bench.faults[0]).toMatchObject({
      partition: undefined,
      fault: { kind: 'topicMissing' },
      decision: { action: 'hold' },
    })
    expect([...bench.lanes.troubles()]).toMatchObject([{ topic: 't', partition: undefined, sinceMs: 0 }])
    await bench.push('a')
    bench.sink.counts.set('t', 1)
    bench.time.pass(10_000)
    await settled()
    expect(bench.last.keys).toEqual(['a', 'b', 'c', 'a'])
    bench.last.succeed()
    await settled()
    expect([...bench.lanes.troubles()]).toEqual([])
  })

  it('drain before a partition count that grew takes effect: a key never overtakes itself', async () => {
    const bench = new Bench(1)
    await bench.push('a', 'b')
    await bench.push('a')
    bench.sink.counts.set('t', 3)
    await bench.lanes.refresh()
    await bench.push('b', 'c')
    expect(bench.sink.requests).toHaveLength(1)
    bench.last.succeed()
    await settled()
    expect(bench.sink.requests).toHaveLength(2)
    expect(bench.last).toMatchObject({ partition: 0, keys: ['a'] })
    expect(bench.sink.openCount).toBe(1)
    bench.sink.auto = (request) => request.succeed()
    bench.last.succeed()
    await settled()
    await bench.push('a')
    expect(keys(bench.done).sort()).toEqual(['a', 'a', 'a', 'b', 'b', 'c'])
    for (const { partition, keys: sent } of bench.sink.requests.slice(2))
      for (const key of sent) expect(partition).toBe(partitionFor(Buffer.from(key), 3))
  })

  it('take a grown count at once when nothing is under way', async () => {
    const bench = new Bench(1)
    bench.sink.auto = (request) => request.succeed()
    await bench.push('a')
    bench.sink.counts.set('t', 7)
    await bench.lanes.refresh()
    await bench.push('foobar')
    expect(bench.last.partition).toBe(partitionFor(Buffer.from('foobar'), 7))
  })

  it('take a grown count at once when what was under way was forgotten or taken out of their hands', async () => {
    const bench = new Bench(1, undefined, () => true)
    await bench.push('a')
    bench.sink.counts.set('t', 7)
    await bench.lanes.refresh()
    bench.last.fail('record')
    await settled()
    await bench.push('foobar')
    expect(bench.last).toMatchObject({ partition: partitionFor(Buffer.from('foobar'), 7), keys: ['foobar'] })
  })

  it('of partitions that are gone hand over what they had, in order, once the others have settled', async () => {
    const bench = new Bench(3)
    const [first, last, other] = [keyIn(0, 3), keyIn(2, 3), keyIn(1, 3)]
    await bench.push(first, last, other)
    const [toFirst, toLast, toOther] = [0, 2, 1].map((partition) =>
      bench.sink.requests.find((request) => request.partition === partition),
    ) as [Request, Request, Request]
    const queued = await bench.push(last, first, last)
    bench.sink.counts.set('t', 1)
    toLast.fail('retry', 'UNKNOWN_PARTITION')
    await settled()
    const late = await bench.push(last)
    bench.time.pass(10_000)
    await settled()
    expect(bench.renewals).toBe(1)
    // May have been written: it stays where it is until it is known to be.
    toOther.fail('retry')
    await settled()
    bench.time.pass(10_000)
    await settled()
    expect(bench.sink.requests.map(({ partition }) => partition)).toEqual([0, 2, 1, 1])
    bench.last.succeed()
    toFirst.succeed()
    await settled()
    expect(bench.last.partition).toBe(0)
    const batch = bench.last.keys
    expect([...batch].sort()).toEqual([...keys(queued), ...keys(late), last].sort())
    bench.last.succeed()
    await settled()
    expect(bench.lanes.isEmpty).toBe(true)
    expect(bench.done).toHaveLength(7)
    const ofLast = bench.done.filter((one) => one.key.toString() === last)
    expect(ofLast.slice(1)).toEqual([queued[0], queued[2], late[0]])
  })

  it('of a topic that is gone wait for it as for one that never was', async () => {
    const bench = new Bench(2)
    await bench.push('a')
    bench.sink.counts.delete('t')
    bench.last.fail('topicMissing')
    await settled()
    bench.time.pass(10_000)
    await settled()
    expect(bench.lanes.laneCount).toBe(0)
    expect(bench.faults.at(-1)).toMatchObject({ partition: undefined, fault: { kind: 'topicMissing' } })
    await bench.push('b')
    bench.sink.counts.set('t', 1)
    bench.time.pass(10_000)
    await settled()
    expect(bench.last.keys).toEqual(['a', 'b'])
    expect(bench.renewals).toBe(1)
  })

  it('go on as they are when the topic was only out of sight', async () => {
    const bench = new Bench(2)
    const [sent] = await bench.push('a')
    bench.last.fail('topicMissing')
    await settled()
    bench.time.pass(10_000)
    await settled()
    expect(bench.renewals).toBe(0)
    bench.last.succeed()
    await settled()
    expect(bench.done).toEqual([sent])
    expect(bench.lanes.laneCount).toBe(2)
  })

  it('are opened once when a look at the topic is still under way as they give way to a look-up', async () => {
    const bench = new Bench(1)
    await bench.push('a')
    bench.sink.counts.delete('t')
    await bench.lanes.refresh()
    await bench.push('a')
    bench.sink.counts.set('t', 1)
    let answer = () => {}
    const slow = new Promise<void>((resolve) => {
      answer = resolve
    })
    const quick = bench.sink.partitionCount.bind(bench.sink)
    bench.sink.partitionCount = (topic) => slow.then(() => quick(topic))
    const refreshed = bench.lanes.refresh()
    // Its partition was made again before its request was given up.
    bench.last.succeed()
    await settled()
    answer()
    await refreshed
    await settled()
    await bench.push('a')
    expect(bench.sink.requests).toHaveLength(2)
    expect(bench.sink.openCount).toBe(1)
    bench.last.succeed()
    await settled()
    bench.last.succeed()
    await settled()
    expect(bench.done).toHaveLength(3)
  })

  it('take a grown count when a dead letter emptied the last of them, also when no further fact comes', async () => {
    const bench = new Bench(1, undefined, () => true)
    await bench.push('a')
    bench.sink.counts.set('t', 7)
    await bench.lanes.refresh()
    const [waiting] = await bench.push('foobar')
    bench.last.fail('record')
    await settled()
    expect(bench.last).toMatchObject({ partition: partitionFor(Buffer.from('foobar'), 7), keys: ['foobar'] })
    bench.last.succeed()
    await settled()
    expect(bench.done).toEqual([waiting])
  })

  it('hold what they have while the metadata names no partitions, and go on when it does', async () => {
    const bench = new Bench(0)
    await bench.push('a', 'b')
    expect(bench.faults[0]).toMatchObject({ fault: { kind: 'retry', type: 'NO_PARTITIONS' } })
    bench.sink.counts.set('t', 1)
    bench.time.pass(10_000)
    await settled()
    expect(bench.last.keys).toEqual(['a', 'b'])
    bench.sink.counts.set('t', 0)
    await bench.lanes.refresh()
    bench.last.succeed()
    await settled()
    await bench.push('c')
    expect(bench.last.keys).toEqual(['c'])
  })
})
