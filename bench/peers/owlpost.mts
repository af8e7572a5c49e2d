// OwlPost (Go), where the developer has its binary: `OWLPOST=<binary>`. Its settings are environment variables; its codec
// is its own (snappy), its log is silent. Measured from outside: bench/peers/outside.mts.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTopics } from '../../test/support/kafka.ts'
import { freePort } from '../../test/support/services/free-port.ts'
import { PREFIX } from '../relay/backlog.mts'
import type { Arena } from '../relay/run.mts'
import type { ContestantResult } from '../relay/span.mts'
import { measureOutside, type Peer, startPeer } from './outside.mts'

export async function runOwlPost(
  arena: Pick<Arena, 'backlog' | 'topics'> & { readonly kafka: Pick<Arena['kafka'], 'bootstrap'> },
  slot: string,
  binary: string,
): Promise<ContestantResult> {
  const { backlog, kafka, topics } = arena
  // It writes a record to a topic of this name when it starts, and ends itself where that is missing.
  await createTopics(kafka.bootstrap, [{ topic: '_ping' }, { topic: `${PREFIX}._ping` }])
  // It reads a `.env` in its working directory.
  const folder = await mkdtemp(join(tmpdir(), 'factlib-owlpost-'))
  let peer: Peer | undefined
  try {
    return await measureOutside({
      name: 'OwlPost',
      brokers: kafka.bootstrap,
      topics,
      facts: backlog.shape.facts,
      start: async () => {
        const env: NodeJS.ProcessEnv = {
          PATH: process.env['PATH'],
          HOME: folder,
          APP_NAME: 'bench',
          SRC_SERVICE_NAME: 'owlpost',
          WAL_PREFIX: PREFIX,
          MASTER_DATABASE_URL: backlog.url,
          KAFKA_BROKERS: kafka.bootstrap.join(','),
          REPLICATION_SLOT_NAME: slot,
          PUBLICATION_NAME: backlog.publication,
          WAL_HEALTH_PORT: String(await freePort()),
          METRICS_PORT: String(await freePort()),
          LOG_LEVEL: 'error',
        }
        peer = await startPeer(binary, [], { env, cwd: folder })
        return peer
      },
      check: () => peer?.check(),
    })
  } finally {
    await peer?.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
