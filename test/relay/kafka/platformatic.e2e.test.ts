import { CompressionCodecs, CompressionTypes } from 'kafkajs'
import { describe, expect, inject, test } from 'vitest'
import { createPlatformaticSink } from '../../../relay/kafka/platformatic.ts'
import {
  loadPlatformatic,
  nodeRunsPlatformatic,
  PLATFORMATIC_VERSION,
  type Platformatic,
} from '../../../relay/kafka/platformatic-client.ts'
import { frameProduce, isFlexibleProduce } from '../../../relay/kafka/produce-request.ts'
import { RecordBatchEncoder } from '../../../relay/kafka/record-batch.ts'
import { silentLogger } from '../../../relay/observer.ts'
import { describeSinkRecords } from '../../contracts/sink.ts'
import { describeSinkDoubt } from '../../contracts/sink-doubt.ts'
import { describeSinkFaults } from '../../contracts/sink-faults.ts'
import { createSinkFixture, records, replicasOf, values } from '../../contracts/sink-fixture.ts'
import { describeSinkSecurity } from '../../contracts/sink-security.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { readTopic, uniquePrefix } from '../../support/kafka.ts'
import { runUnderNode24 } from '../../support/vitest-node24.ts'

// The client needs a newer Node.js than factlib: under an older one this file runs itself under Node.js 24.
if (!nodeRunsPlatformatic()) {
  test('the contract of a sink, under Node.js 24', async () => {
    const env = {
      FACTLIB_TEST_DATABASE_URL: inject('postgresUrl'),
      FACTLIB_TEST_KAFKA_BROKERS: inject('kafkaBrokers').join(','),
    }
    const { passed } = await runUnderNode24('test/relay/kafka/platformatic.e2e.test.ts', { env, timeoutMs: 900_000 })
    expect(passed).toBeGreaterThan(35)
  }, 960_000)
} else {
  const library = (await loadPlatformatic()) as Platformatic

  // The tests read with kafkajs, which has only gzip by itself.
  for (const [codec, id] of [
    ['snappy', CompressionTypes.Snappy],
    ['lz4', CompressionTypes.LZ4],
    ['zstd', CompressionTypes.ZSTD],
  ] as const)
    CompressionCodecs[id] = () => ({
      compress: async () => {
        throw new Error('the tests only read')
      },
      decompress: async (bytes: Buffer) => library.compressionsAlgorithms[codec].decompressSync(bytes),
    })

  const fixture = createSinkFixture({
    client: 'platformatic',
    codecs: ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
    mostIdlePercent: 0.5,
    create: async (options) => createPlatformaticSink({ library, ...options }),
  })

  describe(`@platformatic/kafka on Node.js ${process.version}`, () => {
    test('is the version that its protocol layer was checked in', async () => {
      const { default: manifest } = await import('../../../package.json', { with: { type: 'json' } })
      expect(manifest.devDependencies['@platformatic/kafka']).toBe(PLATFORMATIC_VERSION)
      expect(manifest.peerDependencies['@platformatic/kafka']).toBe(PLATFORMATIC_VERSION)
      expect((library as { version?: string }).version ?? PLATFORMATIC_VERSION).toBe(PLATFORMATIC_VERSION)
    })

    // First: with a broker gone, kafkajs gets no new producer while any topic of the cluster has a partition without a leader.
    describeSinkDoubt(fixture)
    describeSinkRecords(fixture)
    describeSinkSecurity(fixture)
    describeSinkFaults(fixture)

    test('sequences go round after 2^31 - 1, and the broker goes on taking them', async () => {
      const topic = `${uniquePrefix()}.sequences`
      await fixture.createTopic({ topic })
      const target = { clientId: 'x', brokers: fixture.cluster().bootstrap, tls: false, compression: 'none' } as const
      const sink = createPlatformaticSink({ library, target, logger: silentLogger, firstSequence: 2 ** 31 - 25 })
      registerCleanup(() => sink.close())
      for (let batch = 0; batch < 6; batch++) await sink.send(topic, 0, records(10, batch * 10))
      expect(values(await readTopic(fixture.cluster().bootstrap, topic))).toEqual(
        Array.from({ length: 60 }, (_, i) => i),
      )
    })

    test('every version of the Produce request that a broker may be limited to is understood', async () => {
      const topic = `${uniquePrefix()}.versions`
      const other = `${topic}-2`
      // More partitions than brokers: two of one topic, and one of the other, have the same leader.
      for (const name of [topic, other]) await fixture.createTopic({ topic: name, partitions: 4, replicationFactor: 1 })
      const leadersOf = (name: string) =>
        Promise.all([0, 1, 2, 3].map(async (one) => (await replicasOf(fixture.cluster(), name, one)).leader))
      const [leaders, othersLeaders] = await Promise.all([leadersOf(topic), leadersOf(other)])
      const leader = leaders.find((one, partition) => leaders.indexOf(one) < partition) as number
      const [first = 0, second = 0] = leaders.flatMap((one, partition) => (one === leader ? [partition] : []))
      const third = othersLeaders.indexOf(leader)
      const [host = '', port] = fixture.cluster().bootstrap[0]!.split(':')
      const pool = new library.ConnectionPool('versions')
      registerCleanup(() => pool.close())
      const connection = await pool.get({ host, port: fixture.cluster().brokers[leader - 1]?.port ?? Number(port) })
      const encoder = new RecordBatchEncoder({
        crc32c: (bytes) => library.crc32c(library.Writer.create().append(bytes).dynamicBuffer),
      })
      for (let version = 3; version <= 11; version++) {
        const flexible = isFlexibleProduce(version)
        const { parseResponse } = (library as unknown as Record<string, { parseResponse: never }>)[
          `produceV${version}`
        ]!
        const batch = Buffer.from(encoder.encode(records(3, (version - 3) * 3), { id: -1n, epoch: -1 }, -1))
        const pieces = frameProduce(
          version,
          [
            { topic, partition: first, bytes: batch },
            { topic: other, partition: third, bytes: batch },
            { topic, partition: second, bytes: batch },
          ],
          5_000,
        )
        const payload = () => library.Writer.create().append(Buffer.concat(pieces))
        const answer = await new Promise((resolve, reject) =>
          connection.send(0, version, payload, parseResponse, flexible, flexible, (error, found) =>
            error ? reject(error) : resolve(found),
          ),
        )
        const answered = (answer as { responses: { name: string; partitionResponses: object[] }[] }).responses
        expect(answered.find(({ name }) => name === topic)?.partitionResponses).toHaveLength(2)
        expect(answered.find(({ name }) => name === other)?.partitionResponses).toMatchObject([{ errorCode: 0 }])
      }
      const all = Array.from({ length: 27 }, (_, i) => i)
      const written = await readTopic(fixture.cluster().bootstrap, topic)
      for (const partition of [first, second])
        expect(values(written.filter((one) => one.partition === partition))).toEqual(all)
      expect(values(await readTopic(fixture.cluster().bootstrap, other))).toEqual(all)
    })
  })
}
