import type { Entry } from '../../relay/entry.ts'
import { ExactlyOnce, type ExactlyOnceOptions } from '../../relay/exactly-once.ts'
import { type Lsn, toLsn } from '../../relay/lsn.ts'
import { silentLogger, silentObserver } from '../../relay/observer.ts'
import { entry } from './entries.ts'
import { POSITIONS, ScriptedTransactions } from './scripted-transactions.ts'

export const SYSTEM_ID = 77n
export const END: Lsn = toLsn(0xffff_ffffn)

/** A queue that writes to a Kafka in memory, and what it tells. */
export function setUp(over: Partial<ExactlyOnceOptions['settings']> = {}) {
  const sink = new ScriptedTransactions()
  sink.counts.set('shop.thing', 3)
  const done: Entry[] = []
  const dropped: Entry[] = []
  const replaced: Entry[] = []
  const problems: Error[] = []
  const delays: number[] = []
  let now = 0
  const hold = { mayProduce: true, whenMayProduce: async () => {} }
  const queue = new ExactlyOnce({
    sink,
    settings: {
      slot: 'shop_slot',
      acceptGap: false,
      sendRecords: 500,
      sendBytes: 900_000,
      kafka: { clientId: 'c', brokers: ['b:1'], tls: false, compression: 'none' },
      exactlyOnce: { topic: POSITIONS },
      ...over,
    },
    routes: [],
    logger: silentLogger,
    observer: silentObserver,
    clock: { nowMs: () => now++ },
    hold,
    events: {
      onDone: (entries) => done.push(...entries),
      onDropped: (entries) => dropped.push(...entries),
      onReplaced: (fact) => replaced.push(fact),
      onFenced: (error) => problems.push(error),
      onHalt: (error) => problems.push(error),
    },
    delay: async (ms) => {
      delays.push(ms)
      await new Promise(setImmediate)
    },
  })
  const start = (timeline = 1, walEndLsn = END) => queue.started({ systemId: SYSTEM_ID, timeline, walEndLsn })
  return { sink, queue, start, done, dropped, replaced, problems, delays, hold }
}

/** A transaction's facts. */
export function facts(lsn: number, count: number, over: Partial<Entry> = {}): Entry[] {
  return Array.from({ length: count }, (_, indexInUnit) =>
    entry(`k${indexInUnit % 4}`, 'thing.happened', { unitLsn: toLsn(BigInt(lsn)), indexInUnit, ...over }),
  )
}

export const ids = (entries: readonly Entry[]) => entries.map(({ id }) => id)
export const storedPosition = (sink: ScriptedTransactions) =>
  JSON.parse(sink.positions.get('77/shop_slot')?.toString() ?? '{}') as Record<string, unknown>
