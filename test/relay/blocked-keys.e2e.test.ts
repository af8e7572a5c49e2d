import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { readTopic } from '../support/kafka.ts'
import { createBench, header } from './relay-bench.ts'

it('a blocked key stays blocked over a restart, also for facts that waited for it', async () => {
  const bench = await createBench()
  const dead = `${bench.prefix}.dead`
  await bench.topics({ topic: 'order', config: { 'max.message.bytes': '2000' } }, { topic: 'dead' })
  const options = { deadLetterTopic: dead, deadLetterKeys: 'block-key', kafkaCompression: 'none' } as const
  const first = bench.relay(options)
  await first.start()
  await bench.commit({ aggregateId: 'k', payload: new Uint8Array(randomBytes(5_000)) })
  await bench.whenAllConfirmed(first)
  await first.stop()

  await bench.commit({ aggregateId: 'k', payload: 'later' }, { aggregateId: 'other' })
  const second = bench.relay(options)
  await second.start()
  await bench.whenAllConfirmed(second)
  expect((await readTopic(bench.brokers, `${bench.prefix}.order`)).map(({ key }) => `${key}`)).toEqual(['other'])
  expect((await readTopic(bench.brokers, dead)).map((record) => header(record, 'dead_letter_cause'))).toEqual([
    'too_large',
    'key_blocked',
  ])
})
