import { afterEach, expect } from 'vitest'
import type { Entry } from '../../relay/entry.ts'
import { type LaneDeps, TopicLanes } from '../../relay/lanes.ts'
import { partitionFor } from '../../relay/partitioner.ts'
import type { SinkDecision, SinkFault } from '../../relay/policy.ts'
import { entry, settled } from './entries.ts'
import { ManualTime, type Request, ScriptedSink } from './scripted-sink.ts'

/** Everything that the lanes of the test touch, and what they said. */
export class Bench {
  readonly sink = new ScriptedSink()
  readonly time = new ManualTime()
  readonly done: Entry[] = []
  readonly faults: { partition: number | undefined; fault: SinkFault; decision: SinkDecision }[] = []
  readonly lanes: TopicLanes
  renewals = 0
  /** What `whenWritable` answers. */
  writable: Promise<void> | undefined

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
      whenWritable: () => this.writable,
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

export const keys = (entries: readonly Entry[]) => entries.map((one) => one.key.toString())

/** A key of this partition out of `count`. */
export function keyIn(partition: number, count: number): string {
  for (let i = 0; ; i++) if (partitionFor(Buffer.from(`k${i}`), count) === partition) return `k${i}`
}
