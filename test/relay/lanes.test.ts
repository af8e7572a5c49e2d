import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createDeferred } from '../../relay/deferred.ts'
import { entry, settled } from './entries.ts'
import { Bench, keyIn, keys } from './lanes-bench.ts'
import type { Request } from './scripted-sink.ts'

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

  it('collects until there is room for a batch, and then sends what it has by then', async () => {
    const bench = new Bench(1)
    const room = createDeferred<void>()
    bench.writable = room.promise
    await bench.push('a')
    await bench.push('b')
    expect(bench.sink.requests).toEqual([])
    room.resolve()
    await settled()
    expect(bench.sink.requests.map((request) => request.keys)).toEqual([['a', 'b']])
  })

  it('that waits for room sends nothing of what was dropped meanwhile, and goes on with what comes', async () => {
    const bench = new Bench(1)
    const room = createDeferred<void>()
    bench.writable = room.promise
    const [dropped] = await bench.push('a')
    expect(bench.lanes.dropUnsent()).toEqual([dropped])
    room.resolve()
    bench.writable = undefined
    await settled()
    expect(bench.sink.requests).toEqual([])
    await bench.push('b')
    expect(bench.last.keys).toEqual(['b'])
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
