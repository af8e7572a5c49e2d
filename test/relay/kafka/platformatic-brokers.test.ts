import { expect, it } from 'vitest'
import { createPlatformaticSink } from '../../../relay/kafka/platformatic.ts'
import { silentLogger } from '../../../relay/observer.ts'
import type { Callback } from './memory-library.ts'

interface Place {
  readonly host: string
  readonly port: number
}

it('a broker that takes connections and closes them is not asked first again by the next producer', async () => {
  const asked: string[] = []
  class ConnectionPool {
    on = () => {}
    get = async (broker: Place) => broker
    getEstablishedConnection = () => undefined
    close = async () => {};
    *[Symbol.iterator]() {}
  }
  const library = {
    ConnectionPool,
    ProtocolError: class extends Error {},
    apiVersionsV3: {
      api: ({ host }: Place, ...args: unknown[]) => {
        asked.push(host)
        const apiKeys = [{ apiKey: 22, minVersion: 0, maxVersion: 5 }]
        ;(args.at(-1) as Callback)(host === 'away' ? new Error('Connection closed') : null, { apiKeys })
      },
    },
    initProducerIdV5: {
      api: (_connection: Place, ...args: unknown[]) =>
        (args.at(-1) as Callback)(null, { producerId: 1n, producerEpoch: 0 }),
    },
  }
  const target = { clientId: 'x', brokers: ['away:1', 'there:1'], tls: false, compression: 'none' } as const
  const sink = createPlatformaticSink({ library: library as never, target, logger: silentLogger })
  await expect(sink.connect()).rejects.toMatchObject({ kind: 'retry' })
  await sink.connect()
  expect(asked).toEqual(['away', 'there'])
})
