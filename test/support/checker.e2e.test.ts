import { Kafka, logLevel } from 'kafkajs'
import { expect, inject, it } from 'vitest'
import { createFactId } from '../../src/fact-id.ts'
import { Checker, formatTable, isClean } from './checker.ts'
import { registerCleanup } from './cleanup.ts'
import { createTopics, uniquePrefix } from './kafka.ts'
import { type CommittedFact, digestOf } from './load.ts'

// The checker must see what is wrong, or a green chaos run means nothing.

interface Sent {
  readonly id: string
  readonly key: string
  readonly value?: string
  readonly note?: string
  readonly topic?: string
}

async function judge(truth: readonly Omit<CommittedFact, 'topic' | 'digest'>[], sent: readonly Sent[]) {
  const brokers = inject('kafkaBrokers')
  const prefix = uniquePrefix()
  const topics = { ours: [`${prefix}.order`], foreign: [`${prefix}foreign.order`] }
  await createTopics(
    brokers,
    [...topics.ours, ...topics.foreign].map((topic) => ({ topic })),
  )
  const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  for (const { id, key, value = id, note = '', topic = topics.ours[0] as string } of sent)
    await producer.send({
      topic: topic === 'foreign' ? (topics.foreign[0] as string) : topic,
      messages: [{ key, value, headers: { event_id: id, note } }],
    })
  await producer.disconnect()
  const checker = await Checker.open(brokers, topics)
  registerCleanup(() => checker.close())
  await checker.read()
  return checker.judge({
    truth: truth.map((fact) => ({ ...fact, topic: topics.ours[0] as string, digest: digestOf(Buffer.from(fact.id)) })),
  })
}

const [a, b, c] = [createFactId(), createFactId(), createFactId()]
const truth = [a, b, c].map((id, index) => ({ id, key: 'k', sequence: index + 1 }))
const sent = [a, b, c].map((id) => ({ id, key: 'k' }))

it('finds nothing wrong with what is right, duplicates included', async () => {
  const result = await judge(truth, [...sent.slice(0, 2), ...sent])
  expect(result).toMatchObject({ facts: 3, lost: 0, phantom: 0, reordered: 0, changed: 0, duplicates: 2 })
  expect(isClean(result)).toBe(true)
})

it.each([
  ['lost', sent.slice(0, 2)],
  ['phantom', [...sent, { id: createFactId(), key: 'k' }]],
  ['phantom', [...sent, { id: createFactId(), key: 'k', topic: 'foreign' }]],
  ['reordered', [sent[0], sent[2], sent[1]] as Sent[]],
  ['changed', [...sent, { id: a, key: 'k', value: 'other' }]],
  ['changed', [...sent, { id: a, key: 'k', note: 'another header' }]],
  ['changed', [{ id: a, key: 'k', value: 'not what was emitted' }, ...sent.slice(1)]],
  ['changed', [{ id: a, key: 'another key' }, ...sent.slice(1)]],
] as const)('finds what is %s', async (what, records) => {
  const result = await judge(truth, records)
  expect(isClean(result)).toBe(false)
  expect(result[what]).toBe(1)
  expect(result.examples.join()).toContain(what === 'phantom' && result.examples.length === 0 ? '' : what)
})

it('formats rows as a table', () => {
  expect(
    formatTable([
      { lost: 0, scenario: 'x' },
      { lost: 12, scenario: 'longer' },
    ]),
  ).toBe('lost  scenario\n0     x\n12    longer')
})
