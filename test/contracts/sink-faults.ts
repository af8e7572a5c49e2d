import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { SinkError } from '../../relay/sink/sink.ts'
import { alterTopic, highWatermarks, readTopic, uniquePrefix } from '../support/kafka.ts'
import { startNode } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'
import { faultOf, type Lanes, records, replicasOf, type SinkFixture, values } from './sink-fixture.ts'

const PARTITIONS = 6

export function describeSinkFaults(fixture: SinkFixture): void {
  const { cluster, connectedSink, sink, proxies, startLanes, sendUntilDurable } = fixture
  const broker = (id: number) => cluster().brokers[id - 1] as ReturnType<typeof cluster>['brokers'][number]

  async function replicatedTopic(partitions: number, replicationFactor = 3): Promise<string> {
    const topic = `${uniquePrefix()}.faults`
    const config = { 'min.insync.replicas': '2' }
    await fixture.createTopic({ topic, partitions, replicationFactor, config })
    return topic
  }

  /** 0 lost, 0 duplicated, 0 reordered. */
  async function expectExactly(topic: string, durable: readonly number[], lanes?: Lanes): Promise<void> {
    const found = await readTopic(cluster().bootstrap, topic)
    for (const [partition, count] of durable.entries()) {
      const wanted = Array.from({ length: count }, (_, index) => index)
      const what = `partition ${partition}${lanes ? ` of lanes that went through ${lanes.story()}\n` : ''}`
      expect(values(found.filter((one) => one.partition === partition)), what).toEqual(wanted)
    }
  }

  async function whenAllInSync(topic: string, replicas: number): Promise<void> {
    await waitFor(async () => (await replicasOf(cluster(), topic)).inSync === replicas, {
      what: 'all replicas to be in sync',
      timeoutMs: 60_000,
    })
  }

  describe('faults', () => {
    test('a leader killed, another frozen, another stopped: nothing lost, doubled or out of order', async () => {
      const topic = await replicatedTopic(PARTITIONS)
      const lanes = startLanes(await connectedSink(), topic, PARTITIONS)
      await lanes.whenProgressed(20)

      await broker(1).kill()
      await lanes.whenProgressed(20)
      await broker(1).start()
      await whenAllInSync(topic, 3)

      broker(2).pause()
      try {
        await lanes.whenProgressed(20)
      } finally {
        broker(2).resume()
      }
      await lanes.whenProgressed(20)
      await whenAllInSync(topic, 3)

      await broker(3).stop()
      await lanes.whenProgressed(20)
      await broker(3).start()
      await lanes.whenProgressed(20)
      await lanes.stop()
      await whenAllInSync(topic, 3)
      await expectExactly(topic, lanes.durable, lanes)
    }, 300_000)

    test('two of three brokers gone for a while: what was acknowledged is there, once and in order', async () => {
      const topic = await replicatedTopic(PARTITIONS)
      const lanes = startLanes(await connectedSink(), topic, PARTITIONS)
      await lanes.whenProgressed(5)
      await Promise.all([broker(1).kill(), broker(2).kill()])
      await waitFor(() => [...lanes.faults.values()].reduce((sum, count) => sum + count, 0) >= PARTITIONS, {
        what: 'sends to fail',
        timeoutMs: 90_000,
      })
      await Promise.all([broker(1).start(), broker(2).start()])
      await lanes.whenProgressed(20)
      await lanes.stop()
      await whenAllInSync(topic, 3)
      await expectExactly(topic, lanes.durable, lanes)
    }, 300_000)

    test('too few replicas in sync: the batch fails as such, and is written once when they are back', async () => {
      const topic = await replicatedTopic(1, 2)
      const one = await connectedSink()
      await one.send(topic, 0, records(10, 0))
      const follower = (await replicasOf(cluster(), topic)).followers[0] as number
      await broker(follower).kill()
      const seen: string[] = []
      await waitFor(
        async () => {
          const fault = await faultOf(one.send(topic, 0, records(10, 10)))
          expect(fault.kind).toBe('retry')
          seen.push(fault.type)
          return fault.type === 'NOT_ENOUGH_REPLICAS'
        },
        { what: 'NOT_ENOUGH_REPLICAS', timeoutMs: 90_000 },
      )
      await broker(follower).start()
      await sendUntilDurable(one, topic, 0, records(10, 10))
      await one.send(topic, 0, records(10, 20))
      await expectExactly(topic, [30])
    }, 180_000)

    // kafkajs asks for every topic when it connects, and takes no answer in which a partition has no leader.
    const others = fixture.client === 'kafkajs' ? 'a new sink waits' : 'a new sink writes the others'
    test(`a partition without a leader: ${others}, and nothing is lost`, async () => {
      const topic = `${uniquePrefix()}.leaderless`
      await fixture.createTopic({ topic, partitions: 6, replicationFactor: 1 })
      const leaders = await Promise.all([0, 1, 2, 3, 4, 5].map((one) => replicasOf(cluster(), topic, one)))
      const victim = leaders[0]?.leader as number
      const led = leaders.flatMap(({ leader }, partition) => (leader === victim ? [] : [partition]))
      await broker(victim).kill()
      await waitFor(
        () =>
          replicasOf(cluster(), topic).then(
            ({ leader }) => leader === -1,
            (error: Error) => error.message.includes('There is no leader'),
          ),
        { what: 'the partition to have no leader', timeoutMs: 30_000 },
      )
      const one = await sink()
      if (fixture.client === 'kafkajs') expect((await faultOf(one.connect())).kind).toBe('retry')
      else for (const partition of led) await sendUntilDurable(one, topic, partition, records(5, 0))
      expect((await faultOf(one.send(topic, 0, records(5, 0)))).kind).toBe('retry')
      await broker(victim).start()
      if (fixture.client === 'kafkajs')
        for (const partition of led) await sendUntilDurable(one, topic, partition, records(5, 0))
      await sendUntilDurable(one, topic, 0, records(5, 0))
      expect(await readTopic(cluster().bootstrap, topic)).toHaveLength((led.length + 1) * 5)
    }, 180_000)

    test('an answer that is lost after the append: the same batch again is written once', async () => {
      const topic = await replicatedTopic(1)
      const one = await connectedSink({ brokers: cluster().listeners.proxied })
      await one.send(topic, 0, records(10, 0))
      for (let round = 1; round <= 3; round++) {
        const { leader } = await replicasOf(cluster(), topic)
        const proxy = proxies()[leader - 1] as ReturnType<typeof proxies>[number]
        proxy.blackhole(true, 'toClient')
        const sent = sendUntilDurable(one, topic, 0, records(10, round * 10))
        await waitFor(async () => (await endOf(topic)) === BigInt(round * 10 + 10), { what: 'the append' })
        proxy.cut()
        proxy.blackhole(false)
        await sent
      }
      await expectExactly(topic, [40])
    })

    test('a batch that was written, and refused when it was sent again, takes nothing of the next one with it', async () => {
      const topic = await replicatedTopic(1)
      const one = await connectedSink({ brokers: cluster().listeners.proxied })
      await one.send(topic, 0, records(5, 0))
      const large = records(5, 5).map((record) => ({
        ...record,
        value: Buffer.concat([record.value, randomBytes(2_000)]),
      }))
      const { leader } = await replicasOf(cluster(), topic)
      const proxy = proxies()[leader - 1] as ReturnType<typeof proxies>[number]
      proxy.blackhole(true, 'toClient')
      const outcome = sendUntilDurable(one, topic, 0, large).then(
        () => 'found in the log',
        (fault: SinkError) => fault.kind,
      )
      await waitFor(async () => (await endOf(topic)) === 10n, { what: 'the append' })
      await alterTopic(cluster().bootstrap, topic, { 'max.message.bytes': '1500', 'min.insync.replicas': '2' })
      proxy.cut()
      proxy.blackhole(false)
      expect(await outcome).toBe('found in the log')
      await sendUntilDurable(one, topic, 0, records(5, 10))
      const found = await readTopic(cluster().bootstrap, topic)
      expect(values(found.filter(({ value }) => (value?.length ?? 0) < 1_000))).toEqual([
        0, 1, 2, 3, 4, 10, 11, 12, 13, 14,
      ])
    })

    test('a new producer goes on where the old one was', async () => {
      const topic = await replicatedTopic(2)
      const one = await connectedSink()
      for (let round = 0; round < 4; round++) {
        for (const partition of [0, 1]) await one.send(topic, partition, records(7, round * 7))
        await one.renew()
      }
      await expectExactly(topic, [28, 28])
    })

    test('frozen brokers do not hold up close(), nor a send that is open', async () => {
      const topic = await replicatedTopic(1)
      const one = await connectedSink()
      await one.send(topic, 0, records(1, 0))
      for (const { id } of cluster().brokers) broker(id).pause()
      try {
        const open = one.send(topic, 0, records(1, 1)).catch((error: unknown) => error)
        const late = await sink()
        const connecting = late.connect().catch((error: unknown) => error)
        const startedMs = performance.now()
        await Promise.all([one.close(), late.close()])
        expect(performance.now() - startedMs).toBeLessThan(10_500)
        void open
        void connecting
      } finally {
        for (const { id } of cluster().brokers) broker(id).resume()
      }
    })

    test('an idle sink costs next to nothing', async () => {
      const topic = await replicatedTopic(1)
      const args = [fixture.client, topic, ...cluster().bootstrap]
      const line = await startNode('test/relay/kafka/idle-sink.ts', args).whenLine(/^idle: /, 30_000)
      expect(Number.parseFloat(line.slice(6))).toBeLessThan(fixture.mostIdlePercent)
    })

    test('brokers that are not there: connect() says so, and close() ends at once', async () => {
      const one = await sink({ brokers: ['127.0.0.1:1', '127.0.0.1:2'] })
      expect((await faultOf(one.connect())).kind).toBe('retry')
      expect((await faultOf(one.check())).kind).toBe('retry')
      const startedMs = performance.now()
      await one.close()
      expect(performance.now() - startedMs).toBeLessThan(10_500)
    })
  })

  async function endOf(topic: string): Promise<bigint | undefined> {
    return (await highWatermarks(cluster().bootstrap, [topic])).get(topic)?.[0]
  }
}
