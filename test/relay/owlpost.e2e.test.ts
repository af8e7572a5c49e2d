import { beforeAll, describe, expect, it } from 'vitest'
import { partitionFor } from '../../relay/partitioner.ts'
import { deriveFactId } from '../../src/fact-id.ts'
import { readTopic, readTopics, type TopicRecord } from '../support/kafka.ts'
import { adoptSlot, type SlotMessage } from '../support/slot.ts'
import { type OwlpostVector, owlpostRecords } from './owlpost-records.ts'
import {
  emittedBytes,
  expectAsOwlpost,
  FOREIGN,
  HELD,
  MALFORMED,
  NOT_RECORDED,
  WITHOUT_TOPIC,
} from './owlpost-rules.ts'
import { createBench, emitBytes, header, type RelayBench, splitDuplicates } from './relay-bench.ts'

// The recorded bytes, sent by plain SQL through PostgreSQL, our relay and Kafka: what comes out is what OwlPost made of
// them, but for the rules of owlpost-rules.ts.

const skipped = [...WITHOUT_TOPIC, ...MALFORMED, ...HELD, ...NOT_RECORDED]
const vectors = owlpostRecords.filter(({ name }) => !skipped.includes(name))
const PARTITIONS = { user: 3, User: 3, 'order.item': 3, p3: 3, p7: 7 }

let bench: RelayBench
let systemId: bigint
/** The same prefixes, but ours: the topics of a run must not be another's. */
const ownPrefix = (prefix: string) =>
  prefix.replace(/^westeros/i, (text) => (text === 'westeros' ? bench.prefix : bench.prefix.toUpperCase()))

async function emitAll(chosen: readonly OwlpostVector[]): Promise<void> {
  for (const vector of chosen)
    await emitBytes(bench.database.pool, ownPrefix(vector.prefix), emittedBytes(vector), vector.transactional)
}

beforeAll(async () => {
  bench = await createBench()
  await bench.topics(...Object.entries(PARTITIONS).map(([topic, partitions]) => ({ topic, partitions })))
  const [row] = await bench.database.query<{ id: string }>(
    'SELECT system_identifier::text AS id FROM pg_control_system()',
  )
  systemId = BigInt(row?.id as string)
})

describe('the recorded emissions through a real relay', () => {
  const topics = () => Object.keys(PARTITIONS).map((topic) => `${bench.prefix}.${topic}`)
  let messages: SlotMessage[]
  let records: TopicRecord[]
  let again: TopicRecord[]

  beforeAll(async () => {
    // Two slots from before the emission: the second relay gets the same facts as a redelivery would bring them.
    const secondSlot = adoptSlot(bench.database)
    const second = bench.relay({ slotName: secondSlot.name, publicationName: secondSlot.publication })
    await second.start()
    await second.stop()
    const relay = bench.relay()
    await relay.start()
    await emitAll(vectors)
    messages = await bench.committed()
    await bench.whenAllConfirmed(relay)
    records = await readTopics(bench.brokers, topics())
    await relay.stop()
    const relayedTwice = bench.relay({ slotName: secondSlot.name, publicationName: secondSlot.publication })
    await relayedTwice.start()
    again = await readTopics(bench.brokers, topics(), { untilCount: 2 * records.length })
    await relayedTwice.stop()
  })

  it('are all in Kafka, each once, and none of a foreign prefix', () => {
    const ours = vectors.filter(({ name }) => !FOREIGN.includes(name))
    expect(messages).toHaveLength(ours.length)
    expect(records).toHaveLength(ours.length)
  })

  it.each(
    vectors
      .filter(({ name }) => !FOREIGN.includes(name))
      .map((vector, i): [string, OwlpostVector, number] => [vector.name, vector, i]),
  )('%s: the same record, but for the rules', (_, vector, i) => {
    const message = messages[i] as SlotMessage
    expect(message.content.equals(emittedBytes(vector))).toBe(true)
    const lsn = `${(message.lsn >> 32n).toString(16)}/${(message.lsn & 0xffffffffn).toString(16)}`.toUpperCase()
    const [record, ...others] = records.filter((one) => header(one, 'LSN') === lsn)
    expect(others).toEqual([])
    const { topic, partition, key, value, headers } = record as TopicRecord
    expectAsOwlpost(
      vector,
      {
        topic,
        partition,
        key: key as Buffer,
        value: value as Buffer,
        headers: Object.fromEntries(headers.map(([name, bytes]) => [name, bytes.toString()])),
      },
      {
        systemId,
        messageLsn: message.lsn,
        prefix: message.prefix,
        content: message.content,
        commitTimeMicros: message.commitTimeMicros,
      },
      (topicOfVector) => ownPrefix(topicOfVector),
    )
  })

  it('have the same derived id and the same bytes when they are relayed a second time', () => {
    const { first, duplicates } = splitDuplicates(again, 'LSN') // Some vectors share their id.
    expect(first).toHaveLength(records.length)
    expect(duplicates).toBe(records.length)
    const ours = vectors.filter(({ name }) => !FOREIGN.includes(name))
    const derived = messages
      .filter((_, i) => {
        const decoded = (ours[i] as OwlpostVector).emitted_decoded
        return 'id' in decoded && decoded.id === ''
      })
      .map(({ lsn, prefix, content }) => deriveFactId({ systemId, messageLsn: lsn, prefix, content }))
    expect(derived.length).toBeGreaterThan(40)
    const ids = new Set(first.map((record) => header(record, 'event_id')))
    for (const id of derived) expect(ids).toContain(id)
  })
})

describe('what OwlPost drops', () => {
  it.each(HELD)('%s: is held, says so, is never confirmed, and others go on', async (name) => {
    const own = await createBench()
    await own.topics({ topic: 'user', partitions: 1 })
    const relay = own.relay({ drainTimeoutMs: 500 })
    await relay.start()
    const vector = owlpostRecords.find((one) => one.name === name) as OwlpostVector
    await emitBytes(own.database.pool, own.prefix, emittedBytes(vector))
    await own.commit({ aggregateType: 'user', aggregateId: 'after' })
    const [held] = await own.committed()
    const beside = name.includes('1MiB') ? 0 : 1
    await readTopic(own.brokers, `${own.prefix}.user`, { untilCount: beside })
    await expect
      .poll(() => relay.log.filter((line) => line.startsWith('warn')).join('\n'), { timeout: 15_000 })
      .toMatch(name.includes('1MiB') ? /refuses this record/ : /topic/)
    await relay.stop()
    await own.whenSlotFree()
    expect(await own.slot.confirmedFlushLsn()).toBeLessThan(held?.endLsn as bigint)
    expect((await own.slot.peek()).filter(({ prefix }) => prefix === own.prefix)).toHaveLength(2)
  })

  it.each([...MALFORMED, ...WITHOUT_TOPIC])('%s: halts the relay before it', async (name) => {
    const own = await createBench()
    await own.topics({ topic: 'user', partitions: 3 })
    const relay = own.relay()
    await relay.start()
    await own.commit({ aggregateType: 'user', aggregateId: 'before' })
    const vector = owlpostRecords.find((one) => one.name === name) as OwlpostVector
    await emitBytes(own.database.pool, own.prefix, emittedBytes(vector))
    await own.commit({ aggregateType: 'user', aggregateId: 'after' })
    const outcome = await relay.whenStopped()
    expect(outcome).toMatchObject({ exitCode: 13, error: { code: 'FACTLIB_MALFORMED_FACT' } })
    expect(relay.phase).toBe('failed')
    expect(relay.health()).toMatchObject({ ok: false, reason: expect.stringContaining('not a fact') })
    const records = await readTopic(own.brokers, `${own.prefix}.user`)
    expect(records.map(({ key }) => key?.toString())).toEqual(['before'])
    expect(records[0]?.partition).toBe(partitionFor(Buffer.from('before'), 3))
    const [before, malformed, after] = await own.committed()
    await own.whenSlotFree()
    expect((await own.slot.peek()).filter(({ prefix }) => prefix === own.prefix)).toHaveLength(2)
    expect(await own.slot.confirmedFlushLsn()).toBeGreaterThanOrEqual(before?.endLsn as bigint)
    expect(await own.slot.confirmedFlushLsn()).toBeLessThan(malformed?.endLsn as bigint)
    expect(after?.content.includes('after')).toBe(true)
  })
})
