import { expect, it, onTestFinished } from 'vitest'
import { DEAD_LETTER_HEADERS, type DeadLetterSettings } from '../../relay/dead-letter.ts'
import { createDeferred } from '../../relay/deferred.ts'
import { Delivery } from '../../relay/delivery.ts'
import type { Entry } from '../../relay/entry.ts'
import { toLsn } from '../../relay/lsn.ts'
import { silentLogger, silentObserver } from '../../relay/observer.ts'
import type { StoredRecord } from '../../relay/sink/sink.ts'
import { entry, settled } from './entries.ts'
import { ScriptedSink } from './scripted-sink.ts'

const STREAM = { systemId: 1n, timeline: 1, walEndLsn: toLsn(1_000n), startLsn: toLsn(100n) }

/** A delivery to a sink in memory, with a dead-letter topic that can be read back. */
function createBench(deadLetter?: Partial<DeadLetterSettings>, createsTopics = false) {
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

const deadLetter = (key: string, id: string) => ({
  key,
  headers: {
    [DEAD_LETTER_HEADERS.cause]: 'too_large',
    [DEAD_LETTER_HEADERS.topic]: 'shop.thing',
    [DEAD_LETTER_HEADERS.id]: id,
  },
})

it('sends nothing before it knows which keys are blocked, and their facts after the earlier dead letter', async () => {
  const { delivery, push, sent, store, read } = createBench({})
  store(deadLetter('blocked', 'a'))
  delivery.started(STREAM)
  await push(entry('blocked'), entry('free'))
  expect(sent()).toEqual([])
  await read()
  expect(sent().sort()).toEqual(['dead: blocked', 'shop.thing: free'])
})

it('reads the blocked keys again when a stream starts: the relay that had the slot meanwhile may have blocked some', async () => {
  const { delivery, sink, push, sent, store, read } = createBench({})
  sink.auto = (request) => request.succeed()
  delivery.started(STREAM)
  await read()
  await push(entry('k'))
  delivery.dropUnsent()
  store(deadLetter('k', 'a'))
  delivery.started(STREAM)
  await push(entry('k'))
  await read()
  expect(sent()).toEqual(['shop.thing: k', 'dead: k'])
})

it('opens a key again when its dead letters were resolved, and reads nothing where keys go on', async () => {
  const { delivery, push, sent, store, read } = createBench({})
  store(deadLetter('k', 'a'), {
    key: 'k',
    headers: { [DEAD_LETTER_HEADERS.topic]: 'shop.thing', [DEAD_LETTER_HEADERS.resolved]: 'a' },
  })
  delivery.started(STREAM)
  await read()
  await push(entry('k'))
  expect(sent()).toEqual(['shop.thing: k'])

  const goesOn = createBench({ keys: 'continue' })
  goesOn.delivery.started(STREAM)
  await goesOn.push(entry('k'))
  expect([goesOn.reads.length, ...goesOn.sent()]).toEqual([0, 'shop.thing: k'])
})

it('keeps a key open when its resolved dead letter is delivered once more', async () => {
  const { delivery, push, sent, store, read } = createBench({})
  const again = deadLetter('k', 'a')
  store(
    again,
    { key: 'k', headers: { [DEAD_LETTER_HEADERS.topic]: 'shop.thing', [DEAD_LETTER_HEADERS.resolved]: 'a' } },
    again,
  )
  delivery.started(STREAM)
  await read()
  await push(entry('k'))
  expect(sent()).toEqual(['shop.thing: k'])
})

it('leaves room in a dead letter for a long key and long headers', async () => {
  const { delivery, sink, push, read } = createBench({ keys: 'continue' })
  sink.auto = (request) => (request.topic === 'dead' ? request.succeed() : request.fail('record', 'MESSAGE_TOO_LARGE'))
  delivery.started(STREAM)
  await read()
  const key = 'k'.repeat(60_000)
  await push(
    entry('k', 'thing.happened', {
      key: Buffer.from(key),
      value: Buffer.alloc(900_000),
      headers: { event_id: 'x', baggage: 'ü'.repeat(30_000) },
    }),
  )
  const parts = sink.requests.filter(({ topic }) => topic === 'dead').flatMap(({ records }) => records)
  expect(parts.reduce((sum, { value }) => sum + value.length, 0)).toBe(900_000)
  for (const { value, headers } of parts)
    expect(value.length + key.length + Buffer.byteLength(JSON.stringify(headers))).toBeLessThan(900_000)
})

it('says of a missing topic that it is being created where it may create it, and what to set where it may not', async () => {
  for (const [createsTopics, said] of [
    [true, 'the topic does not exist; it is being created: '],
    [false, 'the topic does not exist; create it, or set KAFKA_CREATE_TOPICS=true'],
  ] as const) {
    const { sink, delivery, push, warnings } = createBench(undefined, createsTopics)
    sink.counts.delete('shop.thing')
    delivery.started(STREAM)
    await push(entry('a'))
    expect(warnings).toEqual([expect.stringContaining(said)])
    expect(sink.counts.has('shop.thing')).toBe(createsTopics)
  }
})

it('names a topic that is as long as a fact in few words', async () => {
  const { delivery, sink, push, read } = createBench({ keys: 'continue', causes: ['invalid_topic'] })
  sink.auto = (request) => request.succeed()
  delivery.started(STREAM)
  await read()
  await push(entry('k', 'thing.happened', { aggregateType: 'x'.repeat(500_000) }))
  const [record] = sink.requests.flatMap(({ records }) => records)
  expect(JSON.stringify(record?.headers).length).toBeLessThan(2_000)
})

it("takes no header of a fact's own for one of a dead letter: none can resolve it, or another", async () => {
  const { delivery, sink, push, read } = createBench({})
  sink.auto = (request) => (request.topic === 'dead' ? request.succeed() : request.fail('record', 'MESSAGE_TOO_LARGE'))
  delivery.started(STREAM)
  await read()
  await push(entry('k', 'thing.happened', { headers: { event_id: 'x', dead_letter_resolved: 'a', other: 'y' } }))
  const headers = sink.requests.at(-1)?.records[0]?.headers
  expect(headers).toMatchObject({ event_id: 'x', other: 'y', dead_letter_cause: 'too_large' })
  expect(headers).not.toHaveProperty('dead_letter_resolved')
})

it('counts what it has in hand, through dead letters in parts, blocked keys and a lost connection, down to nothing', async () => {
  const { delivery, sink, push, read, counted } = createBench({})
  sink.auto = (request) =>
    request.topic === 'dead' || !request.keys.includes('large')
      ? request.succeed()
      : request.fail('record', 'MESSAGE_TOO_LARGE')
  delivery.started(STREAM)
  await push(entry('large', 'thing.happened', { value: Buffer.alloc(2_000_000) }), entry('a'), entry('large'))
  delivery.dropUnsent()
  expect(counted.size).toBe(0)
  await push(entry('large', 'thing.happened', { value: Buffer.alloc(2_000_000) }), entry('a'), entry('large'))
  await read()
  await settled()
  expect(counted.size).toBe(0)
  expect(sink.requests.flatMap(({ topic, keys }) => (topic === 'dead' ? keys : []))).toHaveLength(4)
})

it('sends nothing any more when it stops without the slot: another relay may have it', async () => {
  const { delivery, sink, hold, push } = createBench()
  let wake = () => {}
  Object.assign(hold, { mayProduce: false, whenMayProduce: () => new Promise<void>((resolve) => (wake = resolve)) })
  delivery.started(STREAM)
  await push(entry('k'))
  wake() // As when the relay stops.
  await settled()
  expect(sink.requests).toEqual([])
})

it('does not send again what another relay has confirmed meanwhile; what is not, by a new producer', async () => {
  const { delivery, sink, hold, push, done, counted } = createBench()
  delivery.started(STREAM)
  await push(entry('a', 'thing.happened', { unitLsn: toLsn(150n) }))
  await push(
    entry('b', 'thing.happened', { unitLsn: toLsn(160n) }),
    entry('c', 'thing.happened', { unitLsn: toLsn(250n) }),
  )
  sink.requests[0]?.succeed()
  await settled()
  const { asked, wake } = loseSlot(hold)
  sink.requests[1]?.fail('retry', 'CONNECTION')
  await asked
  delivery.dropUnsent()
  hold.mayProduce = true
  delivery.started({ ...STREAM, startLsn: toLsn(200n) })
  wake()
  await settled()
  expect(sink.requests.slice(2).map(({ keys }) => keys)).toEqual([['c']])
  expect(sink.renewals).toBe(1)
  sink.requests[2]?.succeed()
  await settled()
  expect([done.length, counted.size]).toEqual([3, 0])
})

it('has what waits inside the sink held back when the slot is lost, and looks again before it goes', async () => {
  const { delivery, sink, hold, push, warnings, done } = createBench()
  const mayLeave: (() => boolean)[] = []
  const send = sink.send.bind(sink)
  sink.send = (topic, partition, records, may?: () => boolean) => {
    mayLeave.push(may as () => boolean)
    return send(topic, partition, records)
  }
  delivery.started(STREAM)
  await push(
    entry('a', 'thing.happened', { unitLsn: toLsn(150n) }),
    entry('b', 'thing.happened', { unitLsn: toLsn(250n) }),
  )
  expect(mayLeave[0]?.()).toBe(true)
  let wake = () => {}
  Object.assign(hold, { mayProduce: false, whenMayProduce: () => new Promise<void>((resolve) => (wake = resolve)) })
  expect(mayLeave[0]?.()).toBe(false)
  sink.requests[0]?.fail('retry', 'HELD_BACK')
  await settled()
  expect(sink.requests).toHaveLength(1)
  // Another relay had the slot, and wrote and confirmed the first.
  hold.mayProduce = true
  delivery.started({ ...STREAM, startLsn: toLsn(200n) })
  expect(mayLeave[0]?.()).toBe(false)
  wake()
  await settled()
  expect(sink.requests.slice(1).map(({ keys }) => keys)).toEqual([['b']])
  expect(mayLeave[1]?.()).toBe(true)
  sink.requests[1]?.succeed()
  await settled()
  expect(done).toHaveLength(2)
  expect(warnings).toEqual([])
})

it('looks again whether the slot is ours after it has waited for a new producer, which may take as long as an outage', async () => {
  const { delivery, sink, hold, push, done } = createBench()
  sink.counts.set('shop.thing', 2)
  delivery.started(STREAM)
  const keys = ['a', 'b', 'c', 'd', 'e']
  const p = keys.find((key) => entry(key).keyHash % 2 === 0) as string
  const q = keys.find((key) => entry(key).keyHash % 2 === 1) as string
  let renewed = () => {}
  sink.renewing = new Promise((resolve) => (renewed = resolve))
  await push(entry(p, 'thing.happened', { unitLsn: toLsn(150n) }))
  sink.requests[0]?.fail('renew')
  await settled()
  // Comes while there is no producer: it waits at the gate.
  await push(entry(q, 'thing.happened', { unitLsn: toLsn(160n) }))
  expect(sink.requests).toHaveLength(1)

  const waiting: (() => void)[] = []
  Object.assign(hold, { mayProduce: false, whenMayProduce: () => new Promise<void>((wake) => waiting.push(wake)) })
  delivery.dropUnsent()
  renewed()
  await settled()
  expect(sink.requests).toHaveLength(1)

  // Another relay had the slot, and wrote and confirmed both.
  hold.mayProduce = true
  delivery.started({ ...STREAM, startLsn: toLsn(200n) })
  for (const wake of waiting) wake()
  await settled()
  expect(sink.requests).toHaveLength(1)
  expect(done).toHaveLength(2)
})

/** `asked`: a batch has come to the hold, after its pause; `wake` lets it look again. */
function loseSlot(hold: object) {
  const [asked, again] = [createDeferred<void>(), createDeferred<void>()]
  const whenMayProduce = () => {
    asked.resolve()
    return again.promise
  }
  Object.assign(hold, { mayProduce: false, whenMayProduce })
  return { asked: asked.promise, wake: () => again.resolve() }
}

it('takes nothing for unconfirmed that was confirmed while it waited for a new producer', async () => {
  const { delivery, sink, hold, push, done } = createBench()
  delivery.started(STREAM)
  await push(...[150n, 160n, 250n, 350n].map((lsn, at) => entry(`k${at}`, 'thing.happened', { unitLsn: toLsn(lsn) })))
  const { asked, wake } = loseSlot(hold)
  const regain = (startLsn: bigint) => {
    hold.mayProduce = true
    delivery.started({ ...STREAM, startLsn: toLsn(startLsn) })
    wake()
  }
  sink.requests[0]?.fail('retry', 'CONNECTION')
  await asked
  let renewed = () => {}
  sink.renewing = new Promise((resolve) => (renewed = resolve))
  regain(200n)
  await settled()
  expect(sink.renewals).toBe(1)
  regain(300n)
  renewed()
  sink.renewing = undefined
  await settled()
  expect(sink.requests.slice(1).map(({ keys }) => keys)).toEqual([['k3']])
  expect(sink.renewals).toBe(2)
  sink.requests[1]?.succeed()
  await settled()
  expect(done).toHaveLength(4)
})

it('makes a topic again that was deleted under its lanes, and a new producer writes what they had', async () => {
  const { sink, push, done, infos } = createBench(undefined, true)
  sink.counts.set('shop.thing', 3)
  await push(entry('a'))
  sink.counts.delete('shop.thing')
  sink.requests[0]?.fail('topicMissing')
  await expect.poll(() => sink.counts.get('shop.thing')).toBe(1)
  sink.auto = (one) => one.succeed()
  await expect.poll(() => done.length).toBe(1)
  expect(sink.requests.at(-1)?.partition).toBe(0)
  expect(sink.renewals).toBe(1)
  expect(infos).toContain('created the topic')
})

it('does not make a topic for a leader that only moves', async () => {
  const { sink, push, done, infos } = createBench(undefined, true)
  sink.counts.set('shop.thing', 3)
  await push(entry('a'))
  sink.auto = (one) => one.succeed()
  sink.requests[0]?.fail('topicMissing')
  await expect.poll(() => done.length).toBe(1)
  expect(sink.counts.get('shop.thing')).toBe(3)
  expect(infos).toEqual([])
})
