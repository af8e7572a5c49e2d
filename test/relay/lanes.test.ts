import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { Entry } from '../../relay/entry.ts'
import { type LaneDeps, TopicLanes } from '../../relay/lanes.ts'
import { partitionFor } from '../../relay/partitioner.ts'
import type { SinkDecision, SinkFault } from '../../relay/policy.ts'
import { entry, settled } from './entries.ts'
import { ManualTime, type Request, ScriptedSink } from './scripted-sink.ts'

/** Everything that the lanes of the test touch, and what they said. */
class Bench {
  readonly sink = new ScriptedSink()
  readonly time = new ManualTime()
  readonly done: Entry[] = []
  readonly faults: { partition: number | undefined; fault: SinkFault; decision: SinkDecision }[] = []
  readonly lanes: TopicLanes
  renewals = 0

  constructor(
    partitions: number | undefined,
    limits = { records: 500, bytes: 900_000 },
    deadLetter?: LaneDeps['deadLetter'],
  ) {
    if (partitions !== undefined) this.sink.counts.set('t', partitions)
    this.lanes = new TopicLanes('t', {
      limits,
      clock: this.time.clock,
      delay: this.time.delay,
      send: (topic, partition, batch) =>
        this.sink.send(
          topic,
          partition,
          batch.map(({ key, value, headers }) => ({ key, value, headers, timestampMs: 0 })),
        ),
      partitionCount: (topic) => this.sink.partitionCount(topic),
      onDone: (batch) => this.done.push(...batch),
      onFault: (_, partition, fault, decision) => this.faults.push({ partition, fault, decision }),
      renew: () => void this.renewals++,
      ...(deadLetter && { deadLetter }),
    })
    opened.push(this)
  }

  async push(...keys: string[]): Promise<Entry[]> {
    const entries = keys.map((key) => entry(key))
    for (const one of entries) this.lanes.push(one)
    await settled()
    return entries
  }

  get last(): Request {
    return this.sink.requests.at(-1) as Request
  }
}

const opened: Bench[] = []
afterEach(() => {
  for (const bench of opened.splice(0)) expect(bench.sink.violations).toEqual([])
})

const keys = (entries: readonly Entry[]) => entries.map((one) => one.key.toString())

/** A key of this partition out of `count`. */
function keyIn(partition: number, count: number): string {
  for (let i = 0; ; i++) if (partitionFor(Buffer.from(`k${i}`), count) === partition) return `k${i}`
}

describe('a lane', () => {
  it('sends what came together in one request, at once, and what comes meanwhile in the next', async () => {
    const { sink, lanes, done, ...bench } = new Bench(1)
    const first = [entry('a'), entry('b'), entry('c')]
    for (const one of first) lanes.push(one)
    await settled()
    expect(sink.requests.map((request) => request.keys)).toEqual([['a', 'b', 'c']])
    lanes.push(entry('d'))
    lanes.push(entry('e'))
    await settled()
    expect(sink.requests).toHaveLength(1)
    sink.requests[0]?.succeed()
    await settled()
    expect(done).toEqual(first)
    expect(sink.requests[1]?.keys).toEqual(['d', 'e'])
    sink.requests[1]?.succeed()
    await settled()
    expect(lanes.isEmpty).toBe(true)
    expect(bench.time.delays).toEqual([])
  })

  it('keeps to the limits of a request, but sends a fact that alone is larger', async () => {
    const { sink, lanes } = new Bench(1, { records: 3, bytes: 1_000 })
    sink.auto = (request) => request.succeed()
    for (const [key, bytes] of Object.entries({ a: 1, b: 1, c: 1, d: 1, e: 998, f: 2, g: 5_000, h: 1 }))
      lanes.push(entry(key, 'x', { bytes }))
    await settled()
    expect(sink.requests.map((request) => request.keys)).toEqual([['a', 'b', 'c'], ['d', 'e'], ['f'], ['g'], ['h']])
  })

  it('sends the very same records again until they are durable, and nothing beside them', async () => {
    const bench = new Bench(1)
    await bench.push('a', 'b')
    await bench.push('c')
    for (let attempt = 0; attempt < 6; attempt++) {
      bench.last.fail(attempt % 2 ? 'configuration' : 'retry')
      await settled()
      expect(bench.sink.requests).toHaveLength(attempt + 1)
      bench.time.pass(60_000)
      await settled()
    }
    const sent = bench.sink.requests
    expect(sent).toHaveLength(7)
    for (const request of sent) {
      expect(request.keys).toEqual(['a', 'b'])
      for (const [i, record] of request.records.entries()) {
        expect(record.value).toBe(sent[0]?.records[i]?.value)
        expect(record.headers).toBe(sent[0]?.records[i]?.headers)
      }
    }
    expect(bench.done).toEqual([])
    bench.last.succeed()
    await settled()
    expect(keys(bench.done)).toEqual(['a', 'b'])
    expect(bench.last.keys).toEqual(['c'])
  })

  it('leaves the lanes beside it alone while it cannot go on', async () => {
    const bench = new Bench(2)
    const [left, right] = [keyIn(0, 2), keyIn(1, 2)]
    bench.sink.auto = (request) => (request.partition === 0 ? request.fail('retry') : request.succeed())
    await bench.push(left)
    for (let i = 0; i < 5; i++) await bench.push(right)
    expect(keys(bench.done)).toEqual([right, right, right, right, right])
    bench.sink.auto = (request) => request.succeed()
    bench.time.pass(60_000)
    await settled()
    expect(keys(bench.done)).toContain(left)
  })

  it('finds the record at fault by sending one at a time, and holds only its lane', async () => {
    const bench = new Bench(2)
    const [left, right] = [keyIn(0, 2), keyIn(1, 2)]
    let cured = false
    bench.sink.auto = (request) =>
      request.records.some((record) => record.headers['bad']) && !cured ? request.fail('record') : request.succeed()
    const facts = [entry(left), entry(left, 'bad', { headers: { bad: '1' } }), entry(left, 'after')]
    for (const one of facts) bench.lanes.push(one)
    await settled()
    for (let i = 0; i < 4; i++) {
      bench.time.pass(60_000)
      await settled()
    }
    expect(bench.done).toEqual([facts[0]])
    const [trouble] = [...bench.lanes.troubles()]
    expect(trouble).toMatchObject({ topic: 't', partition: 0 })
    await bench.push(right)
    expect(keys(bench.done)).toEqual([left, right])
    cured = true
    bench.time.pass(60_000)
    await settled()
    expect(keys(bench.done)).toEqual([left, right, left, left])
    expect(bench.done.at(-1)).toBe(facts[2])
    expect([...bench.lanes.troubles()]).toEqual([])
  })

  it('sends whole batches again after it has passed what was refused together', async () => {
    const bench = new Bench(1)
    bench.sink.auto = (request) => (request.records.length > 1 ? request.fail('record') : request.succeed())
    await bench.push('a', 'b', 'c')
    expect(keys(bench.done)).toEqual(['a', 'b', 'c'])
    bench.sink.auto = (request) => request.succeed()
    await bench.push('d', 'e')
    expect(bench.last.keys).toEqual(['d', 'e'])
  })

  it('says since when the batch in flight does not get through, over all its attempts', async () => {
    const bench = new Bench(1)
    await bench.push('a')
    bench.time.pass(4_000)
    bench.last.fail('retry', 'NOT_ENOUGH_REPLICAS')
    await settled()
    bench.time.pass(9_000)
    await settled()
    const [trouble] = [...bench.lanes.troubles()]
    expect(trouble?.sinceMs).toBe(0)
    expect(trouble?.reason).toContain('NOT_ENOUGH_REPLICAS')
  })
})

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

  it('forget what no request carries, keep what is in flight, and send what comes again behind it', async () => {
    const bench = new Bench(1)
    const inFlight = await bench.push('a', 'b')
    const queued = await bench.push('c', 'd')
    expect(bench.lanes.dropUnsent()).toEqual(queued)
    const again = await bench.push('a', 'b', 'c', 'd')
    expect(bench.sink.requests).toHaveLength(1)
    bench.last.fail('retry')
    await settled()
    bench.time.pass(60_000)
    await settled()
    expect(bench.last.keys).toEqual(['a', 'b'])
    bench.last.succeed()
    await settled()
    expect(bench.last.keys).toEqual(['a', 'b', 'c', 'd'])
    bench.last.succeed()
    await settled()
    expect(bench.done).toEqual([...inFlight, ...again])
  })

  it('forget what waits for the topic', async () => {
    const bench = new Bench(undefined)
    const waiting = await bench.push('a', 'b')
    expect(bench.lanes.dropUnsent()).toEqual(waiting)
    bench.sink.counts.set('t', 1)
    bench.time.pass(10_000)
    await settled()
    expect(bench.sink.requests).toEqual([])
    expect(bench.lanes.isEmpty).toBe(true)
  })

  it('send nothing after close, not even again', async () => {
    const bench = new Bench(1)
    await bench.push('a')
    await bench.push('b')
    bench.lanes.close()
    bench.last.fail('retry')
    await settled()
    bench.time.pass(60_000)
    await settled()
    expect(bench.sink.requests).toHaveLength(1)
    expect(bench.done).toEqual([])
  })

  it('look for the topic no more after close', async () => {
    const bench = new Bench(undefined)
    await bench.push('a')
    bench.lanes.close()
    bench.sink.counts.set('t', 1)
    bench.time.pass(60_000)
    await settled()
    expect(bench.sink.requests).toEqual([])
  })

  it('keep the order of each key, lose and double nothing, whatever fails in whatever order', async () => {
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          kind: fc.constant('push' as const),
          key: fc.nat(5),
          count: fc.integer({ min: 1, max: 4 }),
        }),
      },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('succeed' as const), which: fc.nat(7) }) },
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant('fail' as const),
          which: fc.nat(7),
          fault: fc.constantFrom('retry', 'record', 'configuration', 'topicMissing', 'renew' as const),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('grow' as const) }) },
      // Made again with so many partitions; 0: deleted.
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('remake' as const), count: fc.nat(4) }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const bench = new Bench(2, { records: 3, bytes: 900_000 })
        const open: Request[] = []
        const written: string[] = []
        let partitions = 2
        let serial = 0
        bench.sink.auto = (request) => open.push(request)
        const succeed = (request: Request) => {
          if (partitions === 0) return request.fail('topicMissing')
          if (request.partition >= partitions) return request.fail('retry', 'UNKNOWN_PARTITION')
          for (const record of request.records) written.push(record.headers['n'] as string)
          request.succeed()
        }
        for (const one of steps) {
          if (one.kind === 'push') {
            for (let i = 0; i < one.count; i++) {
              bench.lanes.push(entry(`k${one.key}`, 'x', { headers: { n: `${one.key}:${serial++}` } }))
            }
          } else if (one.kind === 'grow') {
            bench.sink.counts.set('t', ++partitions)
            await bench.lanes.refresh()
          } else if (one.kind === 'remake') {
            partitions = one.count
            if (partitions > 0) bench.sink.counts.set('t', partitions)
            else bench.sink.counts.delete('t')
          } else {
            const [request] = open.splice(one.which % Math.max(1, open.length), 1)
            if (request && one.kind === 'succeed') succeed(request)
            else if (request && one.kind === 'fail') request.fail(one.fault)
          }
          await settled()
          bench.time.pass(60_000)
          await settled()
        }
        partitions ||= 1
        bench.sink.counts.set('t', partitions)
        bench.sink.auto = succeed
        for (const request of open) succeed(request)
        for (let i = 0; i < 8; i++) {
          await settled()
          bench.time.pass(60_000)
        }
        await settled()
        expect(bench.sink.violations).toEqual([])
        expect(bench.lanes.isEmpty).toBe(true)
        expect(new Set(written).size).toBe(written.length)
        expect(written).toHaveLength(serial)
        for (let key = 0; key <= 5; key++) {
          const own = written.filter((n) => n.startsWith(`${key}:`)).map((n) => Number(n.split(':')[1]))
          expect(own).toEqual([...own].sort((a, b) => a - b))
        }
      }),
      { numRuns: 100 },
    )
  })
})
