// From the start of the command to its first record in Kafka, with a fact that waits in the slot; each Kafka client in turn.
//   npx tsx bench/start.mts [--rounds 5] [--json file]
// The built command line in a process of its own, with health and metrics on. Limit: 1,000 ms.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { encodeFact } from '../src/envelope/encode.ts'
import { Fact } from '../src/fact.ts'
import { createTopics } from '../test/support/kafka.ts'
import { connectCluster, PartitionReader } from '../test/support/kafka-fetch.ts'
import { findNode24 } from '../test/support/node24.ts'
import { startKafka } from '../test/support/services/kafka.ts'
import { startPostgres } from '../test/support/services/postgres.ts'
import { buildForBench, commandLine, load, machine, median, root, shuffled, writeJson } from './rounds.mts'

const { values: options } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, json: { type: 'string' } },
})
const built = await buildForBench('bench/latency/relay-process.mts')
const command = `${dirname(built.relayModule)}/cli.js`
const clients = [
  { name: 'fast client, Node 24', node: await findNode24(), client: 'platformatic' },
  { name: `kafkajs, ${process.version}`, node: process.execPath, client: 'kafkajs' },
] as const
const results = new Map<string, number[]>(clients.map(({ name }) => [name, []]))
const [postgres, kafka] = await Promise.all([startPostgres(), startKafka()])
const database = new pg.Client({ connectionString: postgres.url })
await database.connect()
try {
  await database.query('CREATE PUBLICATION start_facts')
  for (let round = 1; round <= Number(options.rounds); round++)
    for (const { name, node, client } of shuffled(clients)) {
      const before = load()
      const ms = await measure(node, client, `start_${round}_${client}`)
      results.get(name)?.push(ms)
      process.stderr.write(`round ${round}: ${name}: ${ms.toFixed(0)} ms, load ${before}\n`)
    }
} finally {
  await database.end()
  await Promise.all([postgres.remove(), kafka.remove()])
}
const table = clients.map(({ name }) => ({
  client: name,
  'ms to the first record': Math.round(median(results.get(name) ?? [])),
}))
console.log(machine())
console.table(table)
writeJson(options.json, { command: commandLine('bench/start.mts'), table, results: [...results] })
process.exit(0)

async function measure(node: string, client: string, id: string): Promise<number> {
  const topic = `${id}.order`
  await createTopics(kafka.bootstrap, [{ topic }])
  await database.query('SELECT pg_create_logical_replication_slot($1, $2)', [id, 'pgoutput'])
  const fact = new Fact({ aggregateType: 'order', aggregateId: '1', eventType: 'order.placed', payload: { order: 1 } })
  await database.query('SELECT pg_logical_emit_message(true, $1::text, $2::bytea)', [id, Buffer.from(encodeFact(fact))])
  const cluster = await connectCluster(kafka.bootstrap, [topic])
  const reader = new PartitionReader(cluster, topic, 0, false)
  const startedMs = performance.now()
  const relay = spawn(node, ['--no-warnings', command, 'run'], {
    cwd: root,
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'],
      WAL_PREFIX: id,
      DATABASE_URL: postgres.url,
      REPLICATION_SLOT_NAME: id,
      PUBLICATION_NAME: 'start_facts',
      KAFKA_BROKERS: kafka.bootstrap.join(','),
      KAFKA_CLIENT: client,
      METRICS_PORT: '0',
      WAL_HEALTH_PORT: '0',
    },
  })
  let seen = 0
  while (seen === 0) seen = (await reader.next(5_000)).length
  const ms = performance.now() - startedMs
  relay.kill('SIGTERM')
  await once(relay, 'exit')
  await cluster.disconnect()
  await database.query('SELECT pg_drop_replication_slot($1)', [id])
  return ms
}
