import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { expect, inject, onTestFinished, test } from 'vitest'
import { runOwlPost } from '../../bench/peers/owlpost.mts'
import { createBacklog, topicsOf } from '../../bench/relay/backlog.mts'
import { TOPIC_CONFIG } from '../../bench/relay/kafka-ends.mts'
import { createTopics, highWatermarks } from '../support/kafka.ts'

const SLOT = 'bench_owlpost'

/** A program as a developer names it in OWLPOST: it gets no argument. */
async function program(script: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'factlib-owlpost-test-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'owlpost')
  await writeFile(file, `#!/bin/sh\n${script}\n`)
  await chmod(file, 0o755)
  return file
}

async function arena(facts: number) {
  const shape = { facts, perTransaction: 10, topics: 1 }
  const backlog = await createBacklog(inject('postgresUrl'), `bench_${randomBytes(4).toString('hex')}`, shape)
  onTestFinished(() => backlog.drop())
  await backlog.copySlot(SLOT)
  onTestFinished(() => backlog.dropSlot(SLOT))
  const topics = topicsOf(shape)
  await createTopics(
    inject('kafkaBrokers'),
    topics.map((topic) => ({ topic, partitions: 3, config: TOPIC_CONFIG })),
  )
  return { backlog, topics, kafka: { bootstrap: inject('kafkaBrokers') } }
}

test('OwlPost is told all by its variables, and measured from the first record in Kafka to the last', async () => {
  const where = await arena(300)
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
  const script = fileURLToPath(new URL('./owlpost-process.ts', import.meta.url))
  const binary = await program(`exec '${process.execPath}' --no-warnings --import '${tsx}' '${script}'`)
  const result = await runOwlPost(where, SLOT, binary)
  const ends = await highWatermarks(where.kafka.bootstrap, where.topics)
  expect([...ends.values()].flat().reduce((sum, end) => sum + end, 0n)).toBe(300n)
  expect(result.seconds).toBeGreaterThan(0)
  expect(result.kafkaSeconds).toBe(result.seconds)
  expect(result.rssMegabytes).toBeGreaterThan(10)
})

test('an OwlPost that ends is an error with the last that it said', async () => {
  const where = await arena(10)
  const binary = await program('echo "no such topic" >&2; exit 3')
  await expect(runOwlPost(where, SLOT, binary)).rejects.toThrow(/ended \(3\): no such topic/)
})
