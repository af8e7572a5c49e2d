import { describe, expect, it } from 'vitest'
import type { Entry } from '../../relay/entry.ts'
import { HandlerLanes } from '../../relay/handler-lanes.ts'
import { entry, settled } from './entries.ts'
import { ManualTime } from './scripted-sink.ts'

interface Call {
  readonly id: string
  readonly event: string
  succeed(): void
  fail(): void
}

class Bench {
  readonly time = new ManualTime()
  readonly calls: Call[] = []
  readonly open = new Set<Call>()
  readonly done: Entry[] = []
  readonly dropped: Entry[] = []
  readonly failures: number[] = []
  readonly lanes: HandlerLanes

  constructor(concurrency?: number) {
    this.lanes = new HandlerLanes({
      handle: ({ fact }) =>
        new Promise<void>((resolve, reject) => {
          const end = (settle: () => void) => () => {
            this.open.delete(call)
            settle()
          }
          const call: Call = {
            id: fact.aggregateId,
            event: fact.eventType,
            succeed: end(resolve),
            fail: end(() => reject(new Error('not today'))),
          }
          this.calls.push(call)
          this.open.add(call)
        }),
      events: {
        onDone: (entries) => this.done.push(...entries),
        onDropped: (entries) => this.dropped.push(...entries),
      },
      clock: this.time.clock,
      delay: this.time.delay,
      onFailure: (_entry, _error, attempt) => this.failures.push(attempt),
      ...(concurrency === undefined ? {} : { concurrency }),
    })
  }

  async push(...facts: [id: string, event: string][]): Promise<Entry[]> {
    const entries = facts.map(([id, event]) => entry(id, event))
    for (const one of entries) this.lanes.push(one)
    await settled()
    return entries
  }

  get running(): string[] {
    return [...this.open].map(({ id, event }) => `${id} ${event}`)
  }
}

describe('HandlerLanes', () => {
  it('hands out one fact at a time for each aggregate, in order, while others go on', async () => {
    const bench = new Bench()
    await bench.push(['a', '1'], ['a', '2'], ['b', '1'])
    expect(bench.running).toEqual(['a 1', 'b 1'])
    bench.calls[1]?.succeed()
    await settled()
    expect(bench.running).toEqual(['a 1'])
    bench.calls[0]?.succeed()
    await settled()
    expect(bench.running).toEqual(['a 2'])
    bench.calls[2]?.succeed()
    await settled()
    expect(bench.done.map((one) => one.eventType)).toEqual(['1', '1', '2'])
  })

  it('hands out the same fact again, with backoff, for ever, and nothing behind it', async () => {
    const bench = new Bench()
    await bench.push(['a', '1'], ['a', '2'])
    for (let i = 0; i < 12; i++) {
      bench.calls.at(-1)?.fail()
      await settled()
      bench.time.pass(10_000)
      await settled()
    }
    expect(bench.calls.map(({ event }) => event)).toEqual(Array(13).fill('1'))
    expect(bench.time.delays.slice(0, 3)).toEqual([100, 200, 400])
    expect(Math.max(...bench.time.delays)).toBe(10_000)
    expect(bench.failures).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    expect(bench.done).toEqual([])
    bench.calls.at(-1)?.succeed()
    await settled()
    expect(bench.running).toEqual(['a 2'])
  })

  it('says since when a handler fails, also while those of other aggregates succeed', async () => {
    const bench = new Bench()
    bench.time.pass(1_000)
    await bench.push(['bad', '1'])
    bench.calls[0]?.fail()
    await settled()
    expect(bench.lanes.failingSinceMs).toBe(1_000)
    for (let i = 0; i < 5; i++) {
      bench.time.pass(3_000)
      await settled()
      await bench.push(['good', String(i)])
      for (const call of [...bench.open]) call.id === 'good' ? call.succeed() : call.fail()
      await settled()
    }
    expect(bench.lanes.failingSinceMs).toBe(1_000)
    bench.time.pass(60_000)
    await settled()
    for (const call of [...bench.open]) call.succeed()
    await settled()
    expect(bench.lanes.failingSinceMs).toBeUndefined()
  })

  it('does not hand on again what failed after its connection was lost: another relay may have gone on since', async () => {
    const bench = new Bench()
    const [stale] = await bench.push(['a', '1'], ['b', '1'])
    bench.lanes.dropUnsent()
    const [call, other] = bench.calls
    call?.fail()
    other?.succeed()
    await settled()
    bench.time.pass(60_000)
    await settled()
    expect(bench.running).toEqual([])
    expect(bench.dropped).toEqual([stale])
    expect(bench.done).toHaveLength(1)
    expect(bench.lanes.failingSinceMs).toBeUndefined()

    await bench.push(['a', '1'], ['a', '2'])
    bench.lanes.dropUnsent()
    await bench.push(['a', '1'], ['a', '2'])
    bench.calls.at(-1)?.fail()
    await settled()
    expect(bench.running).toEqual(['a 1'])
    bench.calls.at(-1)?.succeed()
    await settled()
    expect(bench.running).toEqual(['a 2'])
  })

  it('works on no more aggregates at once than it may, and forgets none', async () => {
    const bench = new Bench(3)
    await bench.push(...Array.from({ length: 10 }, (_, i): [string, string] => [`k${i}`, '1']))
    const order: string[] = []
    while (bench.open.size > 0) {
      expect(bench.open.size).toBeLessThanOrEqual(3)
      const [call] = bench.open
      order.push(call?.id as string)
      call?.succeed()
      await settled()
    }
    expect(order).toEqual(Array.from({ length: 10 }, (_, i) => `k${i}`))
    expect(bench.done).toHaveLength(10)
    await bench.push(['k0', '2'])
    expect(bench.running).toEqual(['k0 2'])
  })

  it('lets an aggregate that never runs out of facts starve no other', async () => {
    const bench = new Bench(1)
    await bench.push(['busy', '0'], ['busy', '1'], ['quiet', '1'])
    for (let i = 2; i < 20 && bench.running[0] !== 'quiet 1'; i++) {
      await bench.push(['busy', String(i)])
      for (const call of [...bench.open]) call.succeed()
      await settled()
    }
    expect(bench.running).toEqual(['quiet 1'])
  })

  it('lets a fact that always fails keep only its own place', async () => {
    const bench = new Bench(2)
    await bench.push(['bad', '1'], ['a', '1'], ['b', '1'], ['c', '1'])
    bench.calls[0]?.fail()
    await settled()
    for (const id of ['a', 'b', 'c']) {
      const call = [...bench.open].find((one) => one.id === id)
      call?.succeed()
      await settled()
    }
    expect(bench.done.map((one) => one.key.toString())).toEqual(['a', 'b', 'c'])
  })

  it('forgets what no handler has in hand, and keeps the next fact of an aggregate behind what one has', async () => {
    const bench = new Bench(1)
    const [inHand, ...queued] = await bench.push(['a', '1'], ['a', '2'], ['b', '1'])
    bench.lanes.dropUnsent()
    expect(new Set(bench.dropped)).toEqual(new Set(queued))
    await bench.push(['a', '1 again'], ['b', '1 again'])
    expect(bench.running).toEqual(['a 1'])
    bench.calls[0]?.succeed()
    await settled()
    expect(bench.done).toEqual([inHand])
    expect(bench.running).toEqual(['b 1 again'])
    bench.calls[1]?.succeed()
    await settled()
    expect(bench.running).toEqual(['a 1 again'])
  })

  it('calls nothing after close', async () => {
    const bench = new Bench(1)
    await bench.push(['a', '1'], ['a', '2'], ['b', '1'])
    bench.lanes.close()
    bench.calls[0]?.fail()
    await settled()
    bench.time.pass(60_000)
    await settled()
    expect(bench.calls).toHaveLength(1)
    expect(bench.done).toEqual([])
  })

  it('lets sound aggregates have their place while poisoned ones back off', async () => {
    const bench = new Bench(2)
    await bench.push(['bad-1', 'a'], ['bad-2', 'a'], ['good', 'a'])
    expect(bench.running).toEqual(['bad-1 a', 'bad-2 a'])
    for (const call of [...bench.open]) call.fail()
    await settled()
    expect(bench.running).toEqual(['good a'])
  })

  it('forgets a fact that backs off, when its connection is lost, and does not call it again', async () => {
    const bench = new Bench(1)
    const [entry] = await bench.push(['bad', 'a'])
    for (const call of [...bench.open]) call.fail()
    await settled()
    bench.lanes.dropUnsent()
    expect(bench.dropped).toEqual([entry])
    expect(bench.lanes.failingSinceMs).toBeUndefined()
    bench.time.pass(60_000)
    await settled()
    expect(bench.calls).toHaveLength(1)
  })
})
