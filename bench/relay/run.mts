// One contestant, once: gets a copy of the slot, runs in a process of its own, and all its records are counted in Kafka.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { KafkaCluster } from '../../test/support/services/kafka.ts'
import { runDebezium } from '../peers/debezium.mts'
import { runOwlPost } from '../peers/owlpost.mts'
import { runPgRecvlogical } from '../peers/pg-recvlogical.mts'
import { runProducerPerformance } from '../peers/producer-performance.mts'
import { runTransactionalOutbox } from '../peers/transactional-outbox.mts'
import { root } from '../rounds.mts'
import { type Backlog, PREFIX } from './backlog.mts'
import type { Contestant } from './contestants.mts'
import { openEnds, secondsInKafka } from './kafka-ends.mts'
import type { ContestantResult, ContestantSettings } from './span.mts'

/** Where a round is run. */
export interface Arena {
  readonly kafka: KafkaCluster
  readonly backlog: Backlog
  /** Of the facts' topics, each with `partitions`; their records have the broker's time. */
  readonly topics: readonly string[]
  readonly partitions: number
  /** Not kafkajs: its own codecs are none and gzip. */
  readonly codec: ContestantSettings['codec']
  readonly built: { readonly relayModule: string; readonly script: string }
  /** For the relay with the fast client, `--cpu-prof` say. */
  readonly nodeArgs?: readonly string[]
}

/** @throws when it fails, or Kafka has another number of records of it than the backlog has facts */
export async function runContestant(contestant: Contestant, arena: Arena, round: number): Promise<ContestantResult> {
  const { kafka, backlog } = arena
  const slot = `bench_${contestant.name.toLowerCase().replace(/\W/g, '_')}_${round}`
  if (contestant.mode === 'outbox') return runTransactionalOutbox(kafka, backlog, round)
  if (contestant.mode === 'java') return runProducerPerformance(arena)
  await backlog.copySlot(slot)
  try {
    if (contestant.mode === 'pg_recvlogical') return await runPgRecvlogical(backlog, slot)
    if (contestant.mode === 'debezium') return await runDebezium(arena, slot)
    if (contestant.mode === 'owlpost') return await runOwlPost(arena, slot, contestant.binary ?? '')
    return await runNode(contestant, arena, slot)
  } finally {
    await backlog.dropSlot(slot)
  }
}

/** Topics above this number are not searched for the first and the last record: that takes long. */
const SPAN_TOPICS = 20

async function runNode(contestant: Contestant, arena: Arena, slot: string): Promise<ContestantResult> {
  const { mode } = contestant
  const { facts } = arena.backlog.shape
  const brokers = arena.kafka.bootstrap
  const ends = await openEnds(brokers, arena.topics)
  try {
    const before = await ends.records()
    const sinceMs = Date.now()
    const nodeArgs = contestant.name.startsWith('relay') ? (arena.nodeArgs ?? []) : []
    const result = await spawnNode(contestant, nodeSettings(contestant, arena, slot), arena.built.script, nodeArgs)
    const produced = (await ends.records()) - before
    const expected = mode === 'read' ? 0 : facts
    if (produced !== expected) throw new Error(`${contestant.name} wrote ${produced} records, not ${expected}`)
    if (produced === 0 || arena.topics.length > SPAN_TOPICS) return result
    return { ...result, kafkaSeconds: await secondsInKafka(ends, sinceMs) }
  } finally {
    await ends.close()
  }
}

export function nodeSettings(
  { client = 'platformatic' }: Pick<Contestant, 'client'>,
  arena: Omit<Arena, 'nodeArgs'>,
  slot: string,
): ContestantSettings {
  const { backlog, kafka, topics, partitions, codec, built } = arena
  return {
    url: backlog.url,
    slot,
    publication: backlog.publication,
    prefix: PREFIX,
    endLsn: backlog.endLsn,
    facts: backlog.shape.facts,
    brokers: kafka.bootstrap,
    topics,
    partitions,
    client,
    codec: client === 'kafkajs' ? 'none' : codec,
    relayModule: built.relayModule,
  }
}

export async function spawnNode(
  { node = process.execPath, mode }: Pick<Contestant, 'node' | 'mode'>,
  settings: ContestantSettings,
  script: string,
  nodeArgs: readonly string[] = [],
): Promise<ContestantResult> {
  const { stdout } = await promisify(execFile)(node, ['--no-warnings', ...nodeArgs, script, mode], {
    cwd: root,
    timeout: 600_000,
    env: { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1', BENCH_SETTINGS: JSON.stringify(settings) },
  })
  return JSON.parse(stdout) as ContestantResult
}
