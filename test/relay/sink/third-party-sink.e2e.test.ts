import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Sink, SinkError } from '../../../relay/index.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createBench } from '../relay-bench.ts'

/** All that somebody else's sink takes: one file a topic-partition, one line a record, durable when `send` resolves. */
function createFileSink(folder: string, partitions: number): Sink {
  const written = new Map<string, number>()
  return {
    name: 'files',
    async connect() {},
    async check() {},
    async partitionCount() {
      return partitions
    },
    async createTopic() {},
    async send(topic, partition, records) {
      const path = join(folder, `${topic}-${partition}.ndjson`)
      const lines = records.map(({ key, value, headers }) =>
        JSON.stringify({ key: String(key), id: headers['event_id'], bytes: value.length }),
      )
      try {
        await using file = await open(path, 'a')
        // What an earlier try may have left half written goes first: a batch repeated is written once.
        await file.truncate(written.get(path) ?? 0)
        await file.appendFile(`${lines.join('\n')}\n`)
        await file.datasync()
        written.set(path, (await file.stat()).size)
      } catch (error) {
        throw new SinkError('retry', 'FILE', 'cannot write', { cause: error })
      }
    },
    async renew() {},
    async close() {},
  }
}

test('a sink of somebody else, through the public face: in order, each key in one partition, confirmed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'factlib-files-'))
  registerCleanup(() => rm(folder, { recursive: true }))
  const bench = await createBench()
  await bench.createSlot()
  const relay = bench.relay({ sink: createFileSink(folder, 3) })
  await relay.start()
  for (let n = 0; n < 20; n++)
    await bench.commit(
      ...[0, 1, 2].map((one) => ({ aggregateType: 'order', aggregateId: `k${(n + one) % 5}`, payload: { n } })),
    )
  await bench.whenAllConfirmed(relay)
  await relay.stop()

  const files = await Promise.all(
    [0, 1, 2].map((partition) =>
      readFile(join(folder, `${bench.prefix}.order-${partition}.ndjson`), 'utf8').catch(() => ''),
    ),
  )
  const partitionsOf = new Map<string, Set<number>>()
  const ids = files.flatMap((text, partition) =>
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const { key, id } = JSON.parse(line) as { key: string; id: string }
        partitionsOf.set(key, (partitionsOf.get(key) ?? new Set()).add(partition))
        return { key, id }
      }),
  )
  expect(ids).toHaveLength(60)
  expect([...partitionsOf.values()].map((set) => set.size)).toEqual([1, 1, 1, 1, 1])
  for (const key of partitionsOf.keys()) {
    const own = ids.filter((one) => one.key === key).map(({ id }) => id)
    // UUIDv7: in the order of emission, which is that of the commits here.
    expect(own).toEqual([...own].sort())
  }
})
