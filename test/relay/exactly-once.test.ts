import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Entry } from '../../relay/entry.ts'
import { TRANSACTION_LIMITS } from '../../relay/exactly-once.ts'
import { toLsn } from '../../relay/lsn.ts'
import { entry, settled } from './entries.ts'
import { facts, ids, setUp, storedPosition } from './exactly-once-queue.ts'
import { type CommitEnd, POSITIONS } from './scripted-transactions.ts'

describe('the queue of exactly once', () => {
  it('fences first, then reads the position, then writes', async () => {
    const { sink, queue, start } = setUp()
    start()
    for (const fact of facts(10, 2)) queue.push(fact)
    await settled()
    expect(sink.calls).toEqual(['fence', 'read', 'commit'])
    expect(sink.fencedIds).toEqual(['factlib-77-shop_slot'])
  })

  it('writes nothing before a stream has started, however much has come', async () => {
    const { sink, queue } = setUp()
    for (const fact of facts(10, 2)) queue.push(fact)
    await settled()
    expect(sink.calls).toEqual([])
  })

  it('writes each topic-partition in one request, and the position of the last fact in the same transaction', async () => {
    const { sink, queue, start, done } = setUp()
    start()
    const all = [...facts(10, 3), ...facts(20, 40)]
    for (const fact of all) queue.push(fact)
    await settled()
    expect(sink.committed).toHaveLength(1)
    const [sends] = sink.committed as [(typeof sink.committed)[number]]
    const places = sends.map(({ topic, partition }) => `${topic}/${partition}`)
    expect(new Set(places).size).toBe(places.length)
    expect(places.at(-1)).toBe(`${POSITIONS}/0`)
    expect(storedPosition(sink)).toEqual({
      systemId: '77',
      timeline: 1,
      slot: 'shop_slot',
      lsn: '0/14',
      kind: 'transaction',
      index: 39,
    })
    expect(done).toEqual(all)
  })

  it('says done only after the commit', async () => {
    const { sink, queue, start, done } = setUp()
    let open!: () => void
    sink.gate = new Promise((resolve) => {
      open = resolve
    })
    start()
    for (const fact of facts(10, 2)) queue.push(fact)
    await settled()
    expect(sink.attempts).toHaveLength(1)
    expect(done).toEqual([])
    open()
    await settled()
    expect(done).toHaveLength(2)
  })

  it('lets a large transaction span several of Kafka, and goes on in the middle of it', async () => {
    const { sink, queue, start, done } = setUp()
    const count = TRANSACTION_LIMITS.facts + 10
    const all = facts(10, count)
    let commits = 0
    sink.end = () => (++commits === 2 ? 'unsaid' : 'ok')
    start()
    for (const fact of all) queue.push(fact)
    await settled()
    expect(sink.committed.length).toBe(2)
    expect(new Set(sink.ids)).toEqual(new Set(ids(all)))
    expect(sink.ids).toHaveLength(count)
    expect(done).toEqual(all)
    expect(storedPosition(sink)).toMatchObject({ index: count - 1 })
  })

  it('passes over what is at or below the position, counts it as done, and writes what is above', async () => {
    const { sink, queue, start, done } = setUp()
    const before = [...facts(10, 2), ...facts(20, 5)]
    start()
    for (const fact of before.slice(0, 5)) queue.push(fact)
    await settled()
    queue.dropUnsent()
    start()
    const again = before.map((fact) => ({ ...fact }))
    for (const fact of again) queue.push(fact)
    await settled()
    expect(sink.ids.sort()).toEqual(ids(before).sort())
    expect(done.slice(5)).toEqual(again)
  })

  it('does not take a transaction for written because a message with its LSN was', async () => {
    const { sink, queue, start } = setUp()
    const alone = entry('a', 'thing.happened', { unitLsn: toLsn(20n), transactional: false })
    const [fact] = facts(20, 1) as [Entry]
    start()
    queue.push(alone)
    await settled()
    queue.dropUnsent()
    start()
    queue.push(alone)
    queue.push(fact)
    await settled()
    expect(sink.ids).toEqual([alone.id, fact.id])
  })

  it.each<CommitEnd>(['refused', 'unsaid', 'late'])(
    'after a commit that ended %s it fences and reads anew, and nothing is there twice or missing',
    async (end) => {
      const { sink, queue, start, done } = setUp()
      let commits = 0
      sink.end = () => (++commits === 1 ? end : 'ok')
      const all = [...facts(10, 2), ...facts(20, 2)]
      start()
      for (const fact of all) queue.push(fact)
      await settled()
      await settled()
      expect(sink.calls.slice(0, 5)).toEqual(['fence', 'read', 'commit', 'fence', 'read'])
      expect(sink.ids.sort()).toEqual(ids(all).sort())
      expect(done).toEqual(all)
    },
  )

  it('goes on after its own writes although the position is beyond where the WAL ended at the start', async () => {
    const { sink, queue, start, problems } = setUp()
    start(1, toLsn(15n))
    queue.push(facts(20, 1)[0] as Entry)
    await settled()
    sink.end = () => (sink.attempts.length === 2 ? 'refused' : 'ok')
    queue.push(facts(30, 1)[0] as Entry)
    await settled()
    await settled()
    expect(problems).toEqual([])
    expect(sink.ids).toHaveLength(2)
  })

  it('halts when the position is beyond the end of the WAL: the database was put back', async () => {
    const { sink, queue, start, problems } = setUp()
    start()
    queue.push(facts(0x50, 1)[0] as Entry)
    await settled()
    queue.dropUnsent()
    start(1, toLsn(0x20n))
    queue.push(facts(0x30, 1)[0] as Entry)
    await settled()
    expect(problems).toMatchObject([{ code: 'FACTLIB_POSITION_UNUSABLE' }])
    expect(sink.ids).toHaveLength(1)
  })

  it('lets go of the slot when another relay has fenced it, and writes nothing until it has it again', async () => {
    const { sink, queue, start, problems, dropped } = setUp()
    sink.end = () => (sink.attempts.length === 1 ? 'fenced' : 'ok')
    const all = facts(10, 2)
    start()
    for (const fact of all) queue.push(fact)
    await settled()
    queue.push(facts(20, 1)[0] as Entry)
    await settled()
    expect(problems).toMatchObject([{ code: 'FACTLIB_FENCED' }])
    expect(sink.calls).toEqual(['fence', 'read', 'commit'])
    queue.dropUnsent()
    expect(dropped).toHaveLength(3)
    start()
    for (const fact of all) queue.push(fact)
    await settled()
    expect(sink.ids).toEqual(ids(all))
  })

  it('writes nothing while the slot may not be ours', async () => {
    const { sink, queue, start, hold } = setUp()
    hold.mayProduce = false
    start()
    queue.push(facts(10, 1)[0] as Entry)
    await settled()
    expect(sink.calls).toEqual([])
    hold.mayProduce = true
    await settled()
    expect(sink.ids).toHaveLength(1)
  })

  it('settles a transaction of an older connection before the next one begins, and gives its window back', async () => {
    const { sink, queue, start, done, dropped } = setUp()
    let open!: () => void
    sink.gate = new Promise((resolve) => {
      open = resolve
    })
    sink.end = () => (sink.attempts.length === 1 ? 'refused' : 'ok')
    const all = facts(10, 2)
    start()
    for (const fact of all) queue.push(fact)
    await settled()
    queue.dropUnsent()
    start()
    for (const fact of all) queue.push(fact)
    await settled()
    expect(sink.attempts).toHaveLength(1)
    open()
    await settled()
    expect(dropped).toEqual(all)
    expect(done).toEqual(all)
    expect(sink.ids).toEqual(ids(all))
  })

  it('holds everything while a topic is missing, without fencing again and again', async () => {
    const { sink, queue, start, done } = setUp()
    start()
    queue.push(entry('a', 'thing.happened', { aggregateType: 'late', unitLsn: toLsn(10n) }))
    queue.push(facts(20, 1)[0] as Entry)
    await settled()
    await settled()
    expect(sink.calls).toEqual(['fence', 'read'])
    expect(queue.oldestTrouble()?.reason).toContain('shop.late')
    sink.counts.set('shop.late', 1)
    await settled()
    expect(done).toHaveLength(2)
    expect(queue.oldestTrouble()).toBeUndefined()
  })

  it('makes the topic of positions when told to, and says what is missing when not', async () => {
    const without = setUp()
    without.sink.positionTopic = false
    without.start()
    await settled()
    expect(without.queue.oldestTrouble()?.reason).toMatch(/EXACTLY_ONCE_TOPIC.*cleanup.policy=compact/)
    await without.queue.close()

    const kafka = { clientId: 'c', brokers: ['b:1'], tls: false, compression: 'none' } as const
    const told = setUp({ kafka: { ...kafka, createTopics: { partitions: 6, replicationFactor: 3 } } })
    told.sink.positionTopic = false
    told.start()
    told.queue.push(facts(10, 1)[0] as Entry)
    await settled()
    expect(told.sink.created).toEqual([
      { topic: POSITIONS, partitions: 1, config: expect.objectContaining({ 'cleanup.policy': 'compact' }) },
    ])
    expect(told.sink.ids).toHaveLength(1)
  })

  it('a stream with faults, lost answers and redeliveries of every kind: each fact once, in order', async () => {
    const ends = fc.constantFrom<CommitEnd>('ok', 'ok', 'refused', 'unsaid', 'late', 'fenced')
    const unit = fc.record({ count: fc.integer({ min: 1, max: 6 }), alone: fc.boolean() })
    const step = fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 8 }) }),
      fc.record({ redeliver: fc.integer({ min: 0, max: 12 }) }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(unit, { minLength: 1, maxLength: 12 }),
        fc.array(step, { maxLength: 20 }),
        fc.array(ends, { maxLength: 40 }),
        async (units, steps, given) => {
          const script = [...given]
          const { sink, queue, start, problems, done } = setUp()
          const stream = withMessagesAtCommits(
            units.flatMap(({ count, alone }, index) => {
              const unitLsn = toLsn(BigInt(16 * (index + 1)))
              if (alone) return [entry('k', 'e.e', { unitLsn, transactional: false })]
              return facts(Number(unitLsn), count, { key: Buffer.from('k') })
            }),
          )
          sink.end = () => script.shift() ?? 'ok'
          let next = 0
          const push = (count: number) => {
            for (const fact of stream.slice(next, next + count)) queue.push(fact)
            next = Math.min(next + count, stream.length)
          }
          /** The server sends again what is not confirmed, and after a crash of its own more. */
          const reconnect = (more: number) => {
            queue.dropUnsent()
            const isDone = new Set(done)
            const open = stream.findIndex((fact) => !isDone.has(fact))
            next = startOfUnit(stream, Math.max(0, (open < 0 ? stream.length : open) - more))
            start()
          }
          start()
          for (const one of steps) {
            if ('push' in one) push(one.push)
            else reconnect(one.redeliver)
            await settled()
            if (problems.splice(0).length > 0) reconnect(2)
          }
          for (let turn = 0; turn < 50 && new Set(done).size < stream.length; turn++) {
            push(stream.length)
            await settled()
            if (problems.splice(0).length > 0) reconnect(stream.length)
          }
          expect(sink.ids).toEqual(ids(stream))
          await queue.close()
        },
      ),
      { numRuns: 200 },
    )
  })
})

/** Gives every message that stands before a transaction that transaction's LSN, as when its record touches the commit's. */
function withMessagesAtCommits(stream: readonly Entry[]): Entry[] {
  return stream.map((fact, index) => {
    const after = stream[index + 1]
    return !fact.transactional && after?.transactional ? { ...fact, unitLsn: after.unitLsn } : fact
  })
}

/** The server sends whole units again. */
function startOfUnit(stream: readonly Entry[], index: number): number {
  let at = Math.min(index, stream.length)
  while (at > 0 && stream[at]?.transactional && (stream[at] as Entry).indexInUnit > 0) at--
  return at
}
