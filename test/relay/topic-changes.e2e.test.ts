import { expect, it } from 'vitest'
import { partitionFor } from '../../relay/partitioner.ts'
import { createTopics, deleteTopic, highWatermarks, readTopic } from '../support/kafka.ts'
import { waitFor } from '../support/wait.ts'
import { createBench, type RelayBench } from './relay-bench.ts'

// Topics that change under a relay that runs.

const ids = (turn: string) => Array.from({ length: 24 }, (_, i) => `${turn}-${i % 12}`)

async function deleted(bench: RelayBench, partitions: number) {
  const topic = `${bench.prefix}.order`
  await bench.topics({ topic: 'order', partitions })
  const relay = bench.relay()
  await relay.start()
  await bench.commit(...ids('one').map((aggregateId) => ({ aggregateId })))
  await bench.whenAllConfirmed(relay)
  await deleteTopic(bench.brokers, topic)
  return { relay, topic }
}

it.each([
  ['fewer', 5, 2],
  ['more', 2, 5],
])(
  'writes facts that came while their topic was gone where the new one, with %s partitions, wants them',
  async (_, before, after) => {
    const bench = await createBench()
    const { relay, topic } = await deleted(bench, before)
    for (const aggregateId of ids('two')) await bench.commit({ aggregateId })
    // Asked for no partition of it: what was under way has come back. Until then it may still go where it was to go.
    await waitFor(() => relay.log.some((line) => line.includes('does not exist') && !line.includes('"partition"')), {
      what: 'the relay to miss the topic',
    })
    await createTopics(bench.brokers, [{ topic, partitions: after }])
    await bench.whenAllConfirmed(relay)
    const found = await readTopic(bench.brokers, topic)
    expect(found.map(({ key }) => String(key)).sort()).toEqual(ids('two').sort())
    for (const { key, partition } of found) expect(partition).toBe(partitionFor(key as Buffer, after))
    expect(relay.health()).toEqual({ ok: true })
  },
)

it('goes on by itself when a topic was made again with fewer partitions while nothing came', async () => {
  const bench = await createBench()
  const { relay, topic } = await deleted(bench, 5)
  await createTopics(bench.brokers, [{ topic, partitions: 1 }])
  for (const aggregateId of ids('two')) await bench.commit({ aggregateId })
  await bench.whenAllConfirmed(relay)
  const found = await readTopic(bench.brokers, topic)
  expect(found.map(({ key }) => String(key)).sort()).toEqual(ids('two').sort())
})

it('makes a topic again that was deleted, when it is told to', async () => {
  const bench = await createBench()
  const topic = `${bench.prefix}.made`
  const relay = bench.relay({ kafkaCreateTopics: true, kafkaTopicPartitions: 3 })
  await relay.start()
  await bench.commit({ aggregateType: 'made' })
  await bench.whenAllConfirmed(relay)
  await deleteTopic(bench.brokers, topic)
  await bench.commit({ aggregateType: 'made', aggregateId: 'again' })
  await bench.whenAllConfirmed(relay)
  expect((await readTopic(bench.brokers, topic)).map(({ key }) => String(key))).toEqual(['again'])
  expect((await highWatermarks(bench.brokers, [topic])).get(topic)).toHaveLength(3)
})
