import { describe, expect, inject, it } from 'vitest'
import { openKafkaInspection } from '../../../relay/kafka/kafka-inspection.ts'
import { silentLogger } from '../../../relay/observer.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createTopics, uniquePrefix } from '../../support/kafka.ts'

describe('a look at Kafka', () => {
  it('tells brokers, topics, what we may do, configurations and the time, and creates nothing', async () => {
    const brokers = inject('kafkaBrokers')
    const prefix = uniquePrefix()
    await createTopics(brokers, [{ topic: `${prefix}.order`, partitions: 3, config: { 'max.message.bytes': '5000' } }])
    const target = { clientId: 'inspection', brokers, tls: false, compression: 'none' } as const
    const kafka = await openKafkaInspection(target, silentLogger)
    registerCleanup(() => kafka.close())

    const { topics, brokers: nodes } = await kafka.metadata([`${prefix}.order`, `${prefix}.missing`, 'not a name'])
    expect(nodes.map(({ host, port }) => `${host}:${port}`)).toEqual(expect.arrayContaining([brokers[0]]))
    expect(topics.find(({ name }) => name === `${prefix}.order`)).toMatchObject({ errorCode: 0, isInternal: false })
    const order = topics.find(({ name }) => name === `${prefix}.order`)
    expect(order?.partitions).toHaveLength(3)
    expect(order?.operations).toEqual(expect.arrayContaining(['Write', 'Describe', 'DescribeConfigs']))
    expect(topics.find(({ name }) => name === `${prefix}.missing`)?.errorCode).toBe(3)
    expect(topics.find(({ name }) => name === 'not a name')?.errorCode).toBe(17)
    expect((await kafka.metadata(undefined)).topics.map(({ name }) => name)).toContain(`${prefix}.order`)

    expect((await kafka.topicConfig(`${prefix}.order`))?.get('max.message.bytes')).toBe('5000')
    expect(await kafka.topicConfig(`${prefix}.missing`)).toBeUndefined()
    expect((await kafka.brokerConfig(nodes[0]?.nodeId ?? 1))?.get('producer.id.expiration.ms')).toBe('86400000')
    await kafka.tryProducer()
    const time = await kafka.clock()
    expect(Math.abs((time?.atMs ?? 0) - Date.now())).toBeLessThan(2_000)
    expect((await kafka.metadata([`${prefix}.missing`])).topics[0]?.errorCode).toBe(3)
  })

  it('fails in seconds where nobody listens', async () => {
    const target = { clientId: 'inspection', brokers: ['127.0.0.1:1'], tls: false, compression: 'none' } as const
    await expect(openKafkaInspection(target, silentLogger)).rejects.toMatchObject({ kind: 'retry' })
  })
})
