import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { FACTS_KEPT, PAYLOAD_BYTES_MAX, Recorder, TOPICS_KEPT } from '../../../relay/console/recorder.ts'
import { DEAD_LETTER_HEADERS } from '../../../relay/dead-letter.ts'
import { silentObserver } from '../../../relay/observer.ts'
import { encodeFact, Fact } from '../../../src/index.ts'
import { entry } from '../entries.ts'

const withPayload = (payload: string) => {
  const fact = new Fact({ aggregateType: 'thing', aggregateId: 'a', eventType: 'thing.happened', payload })
  return entry('a', 'thing.happened', { id: fact.id, value: Buffer.from(encodeFact(fact)) })
}

describe('the recorder', () => {
  it('keeps the last facts, the latest first, and counts all', () => {
    const recorder = new Recorder({ routes: [], payloads: false, nowMs: () => 5_000 })
    const all = Array.from({ length: FACTS_KEPT + 20 }, (_, index) => entry(`key-${index}`))
    recorder.durable(all.slice(0, 10))
    recorder.durable(all.slice(10))
    expect(recorder.deliveredCount).toBe(all.length)
    expect(recorder.facts().facts.map(({ id }) => id)).toEqual(
      all
        .slice(-FACTS_KEPT)
        .reverse()
        .map(({ id }) => id),
    )
    expect(recorder.facts().facts[0]).toMatchObject({
      topic: 'shop.thing',
      aggregateId: `key-${FACTS_KEPT + 19}`,
      atMs: 5_000,
      latencyMs: 5_000,
      hasPayload: false,
    })
    recorder.tick(2)
    expect(recorder.topics()).toEqual({
      topics: [
        {
          topic: 'shop.thing',
          count: all.length,
          perSecond: all.length / 2,
          last: { id: all.at(-1)?.id, eventType: 'thing.happened', key: `key-${FACTS_KEPT + 19}`, atMs: 5_000 },
        },
      ],
      omitted: 0,
    })
  })

  it('with payloads off holds no byte of a fact, and gives none out', () => {
    const recorder = new Recorder({ routes: [], payloads: false })
    const fact = withPayload('a secret')
    recorder.durable([fact])
    const shown = [recorder.facts(), recorder.topics()]
    expect(shown[0]).toMatchObject({ facts: [{ id: fact.id, hasPayload: false }] })
    expect(JSON.stringify(shown)).not.toContain('a secret')
    // Not even held: what the entry leads to is free again when the entry is.
    const held = inspect(recorder, { depth: 10, showHidden: true })
    expect(held).not.toContain('Buffer')
    expect(recorder.payload(fact.id)).toBeUndefined()
  })

  it('with payloads on gives the payload of a fact that it still has, unless it is large', () => {
    const recorder = new Recorder({ routes: [], payloads: true })
    const [small, large] = [withPayload('{"a":1}'), withPayload('x'.repeat(PAYLOAD_BYTES_MAX))]
    recorder.durable([small, large])
    expect(recorder.payload(small.id)).toBe('{\n  "a": 1\n}')
    expect(recorder.payload(large.id)).toBeUndefined()
    expect(recorder.facts().facts.map(({ hasPayload }) => hasPayload)).toEqual([false, true])
    recorder.durable(Array.from({ length: FACTS_KEPT }, (_, index) => entry(`later-${index}`)))
    expect(recorder.payload(small.id)).toBeUndefined()
  })

  it('keeps a bounded number of topics, and says how many it left out', () => {
    const recorder = new Recorder({ routes: [], payloads: false })
    const entries = Array.from({ length: TOPICS_KEPT + 3 }, (_, index) =>
      entry('a', 'b', { aggregateType: `t${index}` }),
    )
    recorder.durable(entries)
    recorder.durable(entries)
    expect(recorder.topics().topics).toHaveLength(TOPICS_KEPT)
    expect(recorder.topics().omitted).toBe(3)
  })

  it('counts a dead letter in parts once, and does not list it', () => {
    const recorder = new Recorder({ routes: [], payloads: false })
    const headers = { [DEAD_LETTER_HEADERS.cause]: 'too_large' }
    recorder.durable([entry('a', 'b', { headers, settles: false }), entry('a', 'b', { headers })])
    expect(recorder.deliveredCount).toBe(1)
    expect(recorder.facts().facts).toEqual([])
    expect(recorder.topics().topics).toEqual([])
  })

  it('cuts long names, and names topics as the routes do', () => {
    const recorder = new Recorder({
      routes: [
        { aggregateType: 'user', topic: 'users' },
        { aggregateType: 'audit', handle: () => {} },
      ],
      payloads: false,
    })
    recorder.durable([
      entry('k'.repeat(1_000), 'e'.repeat(1_000), { aggregateType: 'user' }),
      entry('a', 'b', { aggregateType: 'audit' }),
    ])
    const [handled, routed] = recorder.facts().facts
    expect([handled?.topic, routed?.topic]).toEqual(['handler: shop.audit', 'users'])
    expect([routed?.aggregateId.length, routed?.eventType.length]).toEqual([201, 201])
  })

  it('hands on all that it hears, and remembers faults for a minute', () => {
    let nowMs = 0
    const recorder = new Recorder({ routes: [], payloads: false, nowMs: () => nowMs })
    const heard: unknown[][] = []
    const hear =
      (name: string) =>
      (...given: unknown[]) =>
        void heard.push([name, ...given])
    const names = ['consumed', 'handled', 'produceFailed', 'replicationError', 'deadLettered', 'delivered']
    const observer = recorder.observe({
      ...silentObserver,
      ...Object.fromEntries(names.map((name) => [name, hear(name)])),
    })
    observer.consumed('a', 'b')
    observer.handled('a', 'b', 1)
    observer.produceFailed('topic', 'TIMEOUT')
    observer.produceFailed('topic', 'TIMEOUT')
    nowMs = 1_000
    observer.replicationError('slot', '57P01')
    observer.deadLettered?.('too_large', 'topic')
    observer.delivered?.(2)
    expect(heard.map(([name]) => name)).toEqual([
      'consumed',
      'handled',
      'produceFailed',
      'produceFailed',
      'replicationError',
      'deadLettered',
      'delivered',
    ])
    expect([recorder.receivedCount, recorder.deadLetterCount]).toEqual([1, 1])
    expect(recorder.faults()).toEqual([
      { side: 'postgres', type: '57P01', count: 1, lastAtMs: 1_000 },
      { side: 'kafka', type: 'TIMEOUT', count: 2, lastAtMs: 0 },
    ])
    nowMs = 60_500
    expect(recorder.faults()).toEqual([{ side: 'postgres', type: '57P01', count: 1, lastAtMs: 1_000 }])
  })
})
