import { describe, expect, test } from 'vitest'
import type { SinkError } from '../../relay/sink/sink.ts'
import { highWatermarks, readTopic, uniquePrefix } from '../support/kafka.ts'
import { connectCluster } from '../support/kafka-fetch.ts'
import type { TestProxy } from '../support/proxy.ts'
import { waitFor } from '../support/wait.ts'
import { faultOf, records, replicasOf, type SinkFixture, values } from './sink-fixture.ts'

/** Batches whose answer was lost together with their producer: a new one looks into the log before it sends them again. */
export function describeSinkDoubt(fixture: SinkFixture): void {
  const { cluster, connectedSink, sendUntilDurable } = fixture

  async function replicatedTopic(partitions = 1, replicationFactor = 3): Promise<string> {
    const topic = `${uniquePrefix()}.doubt`
    const config = { 'min.insync.replicas': '2' }
    await fixture.createTopic({ topic, partitions, replicationFactor, config })
    return topic
  }

  const proxied = () => connectedSink({ brokers: cluster().listeners.proxied })
  const whole = (length: number) => Array.from({ length }, (_, index) => index)

  async function valuesOf(topic: string, partition = 0): Promise<number[]> {
    return values((await readTopic(cluster().bootstrap, topic)).filter((one) => one.partition === partition))
  }

  /** The offset after the last record that the leader has, replicated or not. */
  async function logEnd(topic: string): Promise<bigint> {
    const { leader } = await replicasOf(cluster(), topic)
    const open = await connectCluster(cluster().bootstrap, [topic])
    try {
      const broker = (await open.findBroker({ nodeId: leader })) as unknown as {
        listOffsets(request: object): Promise<{ responses: { partitions: { offset: string }[] }[] }>
      }
      const topics = [{ topic, partitions: [{ partition: 0, timestamp: '-1' }] }]
      const { responses } = await broker.listOffsets({ replicaId: -2, isolationLevel: 0, topics })
      return BigInt(responses[0]?.partitions[0]?.offset ?? 0)
    } finally {
      await open.disconnect()
    }
  }

  const proxyOf = (leader: number) => fixture.proxies()[leader - 1] as TestProxy

  /** The connections of a client break, and it gets no new ones until what it sends has failed. */
  async function failAll(proxies: readonly TestProxy[], sends: readonly Promise<SinkError>[]): Promise<void> {
    for (const proxy of proxies) {
      proxy.refuse(true)
      proxy.cut()
      proxy.blackhole(false)
    }
    for (const { kind } of await Promise.all(sends)) expect(kind).toBe('retry')
    for (const proxy of proxies) proxy.refuse(false)
  }

  /** Records 0 to 9 are written; 10 to 19 were sent, and have not reached the broker. */
  async function withUnwrittenBatch() {
    const topic = await replicatedTopic()
    const sink = await proxied()
    await sink.send(topic, 0, records(10, 0))
    const proxy = proxyOf((await replicasOf(cluster(), topic)).leader)
    proxy.blackhole(true, 'toServer')
    await failAll([proxy], [faultOf(sink.send(topic, 0, records(10, 10)))])
    return { topic, sink }
  }

  describe('doubt', () => {
    // First, see the callers: its topic alone is in the cluster.
    test('one that only its leader has is waited for, not written again', async () => {
      const topic = await replicatedTopic(1, 2)
      const sink = await proxied()
      await sink.send(topic, 0, records(10, 0))
      const { leader, followers } = await replicasOf(cluster(), topic)
      const follower = cluster().brokers[(followers[0] as number) - 1] as ReturnType<typeof cluster>['brokers'][number]
      const proxy = proxyOf(leader)
      await follower.kill()
      try {
        proxy.blackhole(true, 'toClient')
        const lost = faultOf(sink.send(topic, 0, records(10, 10)))
        await waitFor(async () => (await logEnd(topic)) === 20n, { what: 'the append at the leader' })
        await failAll([proxy], [lost])
        // The proxy of the dead broker takes connections, and resets them.
        await waitFor(() => sink.renew().then(() => true), { what: 'a new producer', timeoutMs: 60_000 })
        expect(await faultOf(sink.send(topic, 0, records(10, 10)))).toMatchObject({
          kind: 'retry',
          type: 'NOT_REPLICATED',
        })
      } finally {
        await follower.start()
      }
      await sendUntilDurable(sink, topic, 0, records(10, 10))
      await sendUntilDurable(sink, topic, 0, records(10, 20))
      expect(await valuesOf(topic)).toEqual(whole(30))
    }, 120_000)

    test('a batch whose answer was lost together with its producer is looked for, and not written again', async () => {
      const topic = await replicatedTopic(8)
      const sink = await proxied()
      const leaders = await Promise.all(whole(8).map(async (one) => (await replicasOf(cluster(), topic, one)).leader))
      // kafkajs has one request at a time to a broker.
      const second = leaders.findIndex((leader) => leader !== leaders[0])
      const proxies = [proxyOf(leaders[0] as number), proxyOf(leaders[second] as number)]
      await sink.send(topic, 0, records(10, 0))
      // So that there is a connection to the other broker, too.
      await sink.send(topic, leaders.lastIndexOf(leaders[second] as number), records(1, 0))
      for (const proxy of proxies) proxy.blackhole(true, 'toClient')
      // The second one was never acknowledged: there the search begins by time.
      const lost = [faultOf(sink.send(topic, 0, records(10, 10))), faultOf(sink.send(topic, second, records(10, 0)))]
      await waitFor(
        async () => {
          const ends = (await highWatermarks(cluster().bootstrap, [topic])).get(topic)
          return ends?.[0] === 20n && ends[second] === 10n
        },
        { what: 'the appends' },
      )
      await failAll(proxies, lost)
      await sink.renew()
      await sink.send(topic, 0, records(10, 10))
      await sink.send(topic, second, records(10, 0))
      await sink.send(topic, second, records(10, 10))
      expect(await valuesOf(topic)).toEqual(whole(20))
      expect(await valuesOf(topic, second)).toEqual(whole(20))
      expect(fixture.logged.filter((line) => line.includes('"found":true'))).toHaveLength(2)
    })

    test('one of which another relay has written the first records is not taken for written', async () => {
      const { topic, sink } = await withUnwrittenBatch()
      const other = await connectedSink()
      await other.send(topic, 0, records(5, 10))
      await sink.renew()
      await sendUntilDurable(sink, topic, 0, records(10, 10))
      expect([...new Set(await valuesOf(topic))].sort((a, b) => a - b)).toEqual(whole(20))
    })

    test('one that was never written is sent by the new producer', async () => {
      const { topic, sink } = await withUnwrittenBatch()
      await sink.renew()
      await sendUntilDurable(sink, topic, 0, records(10, 10))
      expect(await valuesOf(topic)).toEqual(whole(20))
      expect(fixture.logged.filter((line) => line.includes('"found":false'))).toHaveLength(1)
    })

    test('while the log cannot be read the batch is not sent', async () => {
      const topic = await replicatedTopic()
      const sink = await proxied()
      await sink.send(topic, 0, records(10, 0))
      const { leader } = await replicasOf(cluster(), topic)
      const proxy = proxyOf(leader)
      proxy.blackhole(true, 'toClient')
      const lost = faultOf(sink.send(topic, 0, records(10, 10)))
      await waitFor(async () => (await logEnd(topic)) === 20n, { what: 'the append' })
      await failAll([proxy], [lost])
      await sink.renew()
      proxy.refuse(true)
      proxy.cut()
      expect(await faultOf(sink.send(topic, 0, records(10, 10)))).toMatchObject({ kind: 'retry' })
      proxy.refuse(false)
      await sendUntilDurable(sink, topic, 0, records(10, 10))
      await sendUntilDurable(sink, topic, 0, records(10, 20))
      expect(await valuesOf(topic)).toEqual(whole(30))
    })
  })
}
