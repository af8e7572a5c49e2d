// pg-transactional-outbox (npm): what a team finds that looks for a package. Its own workload, as its README has it: rows of
// an outbox table, 10 a transaction, read by logical replication, one message after another (its default), each handed to
// Kafka by kafkajs (acks=all, idempotent) before it is marked as done. The payloads are JSON of the facts' size.
// It is installed by npm when first asked for, outside the tree; it measures itself from the first message to the last.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { createTopics } from '../../test/support/kafka.ts'
import { cacheDir, fillOnce } from '../../test/support/services/cache.ts'
import type { KafkaCluster } from '../../test/support/services/kafka.ts'
import type { Backlog } from '../relay/backlog.mts'
import type { ContestantResult } from '../relay/span.mts'
import { root } from '../rounds.mts'

const VERSION = '0.5.7'
/** It takes a hundred times as long as the others for each. */
const MOST_FACTS = 5_000

export interface OutboxSettings {
  /** The folder whose node_modules hold it. */
  readonly folder: string
  readonly url: string
  readonly topic: string
  readonly brokers: readonly string[]
  readonly facts: number
}

export async function runTransactionalOutbox(
  kafka: KafkaCluster,
  backlog: Pick<Backlog, 'url' | 'shape'>,
  round: number,
): Promise<ContestantResult> {
  const database = `outbox_${round}`
  const topic = `outbox.${round}`
  const facts = Math.min(MOST_FACTS, backlog.shape.facts)
  const folder = await installed()
  await createTopics(kafka.bootstrap, [{ topic, partitions: 12 }])
  const admin = new pg.Client({ connectionString: backlog.url })
  await admin.connect()
  try {
    await admin.query(`CREATE DATABASE ${database}`)
    const url = new URL(backlog.url)
    url.pathname = `/${database}`
    const settings: OutboxSettings = { folder, url: url.href, topic, brokers: kafka.bootstrap, facts }
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--no-warnings', '--import', 'tsx', 'bench/peers/transactional-outbox-process.mts'],
      { cwd: root, timeout: 300_000, env: { ...process.env, BENCH_OUTBOX: JSON.stringify(settings) } },
    )
    return JSON.parse(stdout) as ContestantResult
  } finally {
    await admin.end()
  }
}

async function installed(): Promise<string> {
  return fillOnce(join(cacheDir(), `pg-transactional-outbox-${VERSION}`), async (target) => {
    const npm = process.env['npm_execpath']
    const [command, args] = npm ? [process.execPath, [npm]] : ['npm', []]
    const install = ['install', '--prefix', target, '--ignore-scripts', '--no-audit', '--no-fund']
    await promisify(execFile)(command, [...args, ...install, `pg-transactional-outbox@${VERSION}`], {
      cwd: target,
      timeout: 300_000,
      shell: !npm && process.platform === 'win32',
    }).catch((cause: unknown) => {
      const { stderr = '' } = cause as { stderr?: string }
      throw new Error(`npm could not install pg-transactional-outbox: ${stderr.slice(-500)}`, { cause })
    })
  })
}
