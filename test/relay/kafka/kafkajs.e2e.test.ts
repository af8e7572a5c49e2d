import { describe, expect, test } from 'vitest'
import { kafkajsCodecs } from '../../../relay/kafka/compression.ts'
import { createKafkajsSink } from '../../../relay/kafka/kafkajs.ts'
import { silentLogger } from '../../../relay/observer.ts'
import { describeSinkRecords } from '../../contracts/sink.ts'
import { describeSinkFaults } from '../../contracts/sink-faults.ts'
import { createSinkFixture, faultOf, records, values } from '../../contracts/sink-fixture.ts'
import { describeSinkSecurity } from '../../contracts/sink-security.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { readTopic, uniquePrefix } from '../../support/kafka.ts'

const fixture = createSinkFixture({
  client: 'kafkajs',
  codecs: kafkajsCodecs(),
  // A timer that it re-arms every millisecond on newer Node.js: known of 2.2.4.
  mostIdlePercent: 8,
  create: async (options) => createKafkajsSink(options),
})

describe('kafkajs', () => {
  describeSinkRecords(fixture)
  describeSinkSecurity(fixture)
  describeSinkFaults(fixture)

  test('asks for a new producer before its sequences end, and goes on with it', async () => {
    const topic = `${uniquePrefix()}.sequences`
    await fixture.createTopic({ topic })
    const target = { clientId: 'x', brokers: fixture.cluster().bootstrap, tls: false, compression: 'none' } as const
    const sink = createKafkajsSink({ target, logger: silentLogger, recordsPerProducer: 25 })
    registerCleanup(() => sink.close())
    await sink.send(topic, 0, records(10, 0))
    await sink.send(topic, 0, records(10, 10))
    expect(await faultOf(sink.send(topic, 0, records(10, 20)))).toMatchObject({
      kind: 'renew',
      type: 'SEQUENCES_USED_UP',
    })
    await sink.renew()
    await sink.send(topic, 0, records(10, 20))
    expect(values(await readTopic(fixture.cluster().bootstrap, topic))).toEqual(Array.from({ length: 30 }, (_, i) => i))
  })
})
