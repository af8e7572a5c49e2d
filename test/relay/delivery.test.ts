import { expect, it } from 'vitest'
import { DEAD_LETTER_HEADERS } from '../../relay/dead-letter.ts'
import { createDeferred } from '../../relay/deferred.ts'
import { createBench, deadLetter, STREAM } from './delivery-bench.ts'
import { entry, settled } from './entries.ts'

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

it('reads them again also while a lane waits for room: what came then is not sent before', async () => {
  const { sink, delivery, push, sent, store, read } = createBench({})
  delivery.started(STREAM)
  await read()
  const room = createDeferred<void>()
  Object.assign(sink, { whenWritable: () => room.promise })
  await push(entry('blocked'))
  delivery.dropUnsent()
  store(deadLetter('blocked', 'a'))
  delivery.started(STREAM)
  await push(entry('blocked'))
  room.resolve()
  await settled()
  expect(sent()).toEqual([])
  await read()
  expect(sent()).toEqual(['dead: blocked'])
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
