import { expect, onTestFinished } from 'vitest'
import { DEAD_LETTER_HEADERS, type DeadLetterSettings } from '../../relay/dead-letter.ts'
import { Delivery } from '../../relay/delivery.ts'
import type { Entry } from '../../relay/entry.ts'
import { toLsn } from '../../relay/lsn.ts'
import { silentLogger, silentObserver } from '../../relay/observer.ts'
import type { StoredRecord } from '../../relay/sink/sink.ts'
import { settled } from './entries.ts'
import { ScriptedSink } from './scripted-sink.ts'

export const STREAM = { systemId: 1n, timeline: 1, walEndLsn: toLsn(1_000n), startLsn: toLsn(100n) }

/** A delivery to a sink in memory, with a dead-letter topic that can be read back. */
export function createBench(deadLetter?: Partial<DeadLetterSettings>, createsTopics = false) {
  const sink = new ScriptedSink()
  for (const topic of ['shop.thing', 'dead']) sink.counts.set(topic, 1)
  const done: Entry[] = []
  /** Entries that the window counts. */
  const counted = new Set<Entry>()
  let stored: StoredRecord[] = []
  const reads: (() => void)[] = []
  const warnings: string[] = []
  const infos: string[] = []
  Object.assign(sink, {
    readAll: (_topic: string, onRecord: (record: StoredRecord) => void) =>
      new Promise<void>((resolve) =>
        reads.push(() => {
          for (const record of stored) onRecord(record)
          resolve()
        }),
      ),
  })
  const hold = { mayProduce: true, whenMayProduce: () => Promise.resolve() }
  const delivery = new Delivery({
    sink,
    settings: {
      sendRecords: 500,
      sendBytes: 900_000,
      kafka: {
        clientId: 'x',
        brokers: ['x:1'],
        tls: false,
        compression: 'none',
        ...(createsTopics && { createTopics: { partitions: 1, replicationFactor: 1 } }),
      },
      ...(deadLetter && {
        deadLetter: { topic: 'dead', causes: ['too_large', 'refused'], keys: 'block-key', ...deadLetter },
      }),
    },
    routes: [],
    logger: {
      ...silentLogger,
      warn: (_fields, message) => warnings.push(message),
      info: (_fields, message) => infos.push(message),
    },
    observer: silentObserver,
    clock: { nowMs: () => performance.now() },
    hold,
    events: {
      onDone: (entries) => {
        done.push(...entries)
        for (const one of entries) counted.delete(one)
      },
      onDropped: (entries) => {
        for (const one of entries) counted.delete(one)
      },
      onReplaced: (one, by) => {
        counted.delete(one)
        for (const each of by) counted.add(each)
      },
    },
  })
  onTestFinished(async () => {
    await delivery.close()
    expect(sink.violations).toEqual([])
  })
  const push = async (...entries: Entry[]) => {
    for (const one of entries) {
      counted.add(one)
      delivery.push(one)
    }
    await settled()
  }
  const sent = () => sink.requests.map(({ topic, keys }) => `${topic}: ${keys}`)
  const store = (...records: { key: string; headers: Record<string, string> }[]) => {
    stored = records.map(({ key, headers }, index) => ({
      partition: 0,
      offset: BigInt(index),
      key: Buffer.from(key),
      value: Buffer.alloc(0),
      headers,
      timestampMs: 0,
    }))
  }
  const read = async () => {
    await settled()
    reads.shift()?.()
    await settled()
  }
  return { sink, delivery, hold, done, counted, push, sent, store, read, reads, warnings, infos }
}

export const deadLetter = (key: string, id: string) => ({
  key,
  headers: {
    [DEAD_LETTER_HEADERS.cause]: 'too_large',
    [DEAD_LETTER_HEADERS.topic]: 'shop.thing',
    [DEAD_LETTER_HEADERS.id]: id,
  },
})
