import { expect, it } from 'vitest'
import { createPlatformaticSink } from '../../../relay/kafka/platformatic.ts'
import { silentLogger } from '../../../relay/observer.ts'
import { memoryApi, memoryPool } from './memory-library.ts'

interface Place {
  readonly host: string
  readonly port: number
}

it('a broker that takes connections and closes them is not asked first again by the next producer', async () => {
  const asked: string[] = []
  const library = {
    ConnectionPool: memoryPool((broker: Place) => broker),
    ProtocolError: class extends Error {},
    apiVersionsV3: memoryApi(({ host }: Place) => {
      asked.push(host)
      if (host === 'away') throw new Error('Connection closed')
      return { apiKeys: [{ apiKey: 22, minVersion: 0, maxVersion: 5 }] }
    }),
    initProducerIdV5: memoryApi(() => ({ producerId: 1n, producerEpoch: 0 })),
  }
  const target = { clientId: 'x', brokers: ['away:1', 'there:1'], tls: false, compression: 'none' } as const
  const sink = createPlatformaticSink({ library: library as never, target, logger: silentLogger })
  await expect(sink.connect()).rejects.toMatchObject({ kind: 'retry' })
  await sink.connect()
  expect(asked).toEqual(['away', 'there'])
})

it('a leader that cannot be reached is asked for again, though the metadata are fresh', async () => {
  let metadataAsked = 0
  const reached: string[] = []
  const range = [0, 3, 22].map((apiKey) => ({ apiKey, minVersion: 0, maxVersion: 20 }))
  const library = {
    ConnectionPool: memoryPool((broker: Place) => {
      reached.push(broker.host)
      if (broker.host === 'dead') throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
      return broker
    }),
    ProtocolError: class extends Error {},
    apiVersionsV3: memoryApi(() => ({ apiKeys: range })),
    initProducerIdV5: memoryApi(() => ({ producerId: 1n, producerEpoch: 0 })),
    metadataV12: memoryApi(() => ({
      brokers: [
        { nodeId: 1, host: 'dead', port: 1 },
        { nodeId: 2, host: 'there', port: 1 },
      ],
      controllerId: 2,
      topics: [{ errorCode: 0, name: 't', partitions: [{ partitionIndex: 0, leaderId: ++metadataAsked }] }],
    })),
  }
  const target = { clientId: 'x', brokers: ['there:1'], tls: false, compression: 'none' } as const
  const sink = createPlatformaticSink({ library: library as never, target, logger: silentLogger })
  const send = () =>
    sink.send('t', 0, [{ key: Buffer.from('k'), value: Buffer.from('v'), headers: {}, timestampMs: 1 }])
  await expect(send()).rejects.toMatchObject({ kind: 'retry' })
  // This broker knows no Produce request: that far, and no further, this test goes.
  await expect(send()).rejects.toMatchObject({ kind: 'configuration' })
  expect(metadataAsked).toBe(2)
  expect(reached.filter((host) => host === 'dead')).toHaveLength(1)
})
