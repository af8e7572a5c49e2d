import { describe, expect, it } from 'vitest'
import type { Entry } from '../../relay/entry.ts'
import { settled } from './entries.ts'
import { facts, ids, setUp } from './exactly-once-queue.ts'
import { type CommitEnd, POSITIONS, type ScriptedTransactions } from './scripted-transactions.ts'

describe('a record that Kafka refuses', () => {
  const deadLetter = { topic: 'dead', causes: ['too_large', 'refused', 'invalid_topic'], keys: 'continue' } as const
  const refuse =
    (poisoned: string) =>
    (sends: ScriptedTransactions['attempts'][number]): CommitEnd =>
      sends.some(
        ({ topic, records }) => topic !== 'dead' && records.some(({ headers }) => headers['event_id'] === poisoned),
      )
        ? { fault: 'record', type: 'MESSAGE_TOO_LARGE' }
        : 'ok'

  it('becomes a dead letter in a transaction with its position; the others go on, in order', async () => {
    const { sink, queue, start, done, replaced } = setUp({ deadLetter })
    sink.counts.set('dead', 1)
    const all = facts(10, 9, { key: Buffer.from('same') })
    sink.end = refuse(all[4]?.id as string)
    start()
    for (const fact of all) queue.push(fact)
    for (let turn = 0; turn < 5; turn++) await settled()
    expect(replaced).toEqual([all[4]])
    expect(sink.records((topic) => topic === 'shop.thing').map(({ headers }) => headers['event_id'])).toEqual(
      ids(all.filter((_, index) => index !== 4)),
    )
    const letter = sink.committed.find((sends) => sends.some(({ topic }) => topic === 'dead'))
    expect(letter?.map(({ topic }) => topic)).toContain(POSITIONS)
    expect(sink.ids).toHaveLength(9)
    expect(done.filter(({ settles }) => settles)).toHaveLength(9)
  })

  it('keeps all of its bytes where a request may have few, and has room for a long key and headers', async () => {
    for (const sendBytes of [1_024, 20_000, 200_000]) {
      const { sink, queue, start } = setUp({ deadLetter, sendBytes })
      sink.counts.set('dead', 1)
      const [fact] = facts(10, 1, {
        value: Buffer.alloc(300_000, 'v'),
        key: Buffer.alloc(sendBytes > 100_000 ? 60_000 : 10),
        headers: { event_id: 'poisoned', baggage: 'b'.repeat(sendBytes > 100_000 ? 20_000 : 1) },
      })
      sink.end = refuse('poisoned')
      start()
      queue.push(fact as Entry)
      for (let turn = 0; turn < 5; turn++) await settled()
      const letters = sink.records((topic) => topic === 'dead')
      expect(Buffer.concat(letters.map(({ value }) => value)).equals(fact?.value as Buffer)).toBe(true)
      if (sendBytes > 100_000)
        for (const { key, value, headers } of letters)
          expect(key.length + value.length + JSON.stringify(headers).length).toBeLessThan(sendBytes)
      await queue.close()
    }
  })

  it('names a topic that is as long as a fact in few words', async () => {
    const { sink, queue, start } = setUp({ deadLetter })
    sink.counts.set('dead', 1)
    start()
    queue.push(facts(10, 1, { aggregateType: 'x'.repeat(500_000) })[0] as Entry)
    for (let turn = 0; turn < 5; turn++) await settled()
    const [letter] = sink.records((topic) => topic === 'dead')
    expect(JSON.stringify(letter?.headers).length).toBeLessThan(2_000)
  })

  it('holds everything without a dead-letter topic', async () => {
    const { sink, queue, start, done } = setUp()
    const all = facts(10, 4)
    sink.end = refuse(all[1]?.id as string)
    start()
    for (const fact of all) queue.push(fact)
    for (let turn = 0; turn < 5; turn++) await settled()
    expect(sink.ids).toEqual([all[0]?.id])
    expect(done).toEqual([all[0]])
    expect(queue.oldestTrouble()?.reason).toContain('MESSAGE_TOO_LARGE')
    await queue.close()
  })
})
