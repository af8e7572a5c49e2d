// bench/peers/transactional-outbox.mts in a process of its own: fills an outbox table behind a slot, then listens.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { type ContestantResult, startSpan } from '../relay/span.mts'
import type { OutboxSettings } from './transactional-outbox.mts'

interface Message {
  readonly id: string
  readonly aggregateId: string
  readonly messageType: string
  readonly payload: unknown
}

/** What is used of the package. */
interface Library {
  readonly DatabaseSetup: { dropAndCreateTable(config: object): string }
  getDisabledLogger(): object
  initializeReplicationMessageListener(
    config: object,
    handler: { handle(message: Message): Promise<void> },
    logger: object,
  ): [shutdown: () => Promise<void>]
}

const { folder, url, topic, brokers, facts } = JSON.parse(process.env['BENCH_OUTBOX'] ?? '') as OutboxSettings
const library = createRequire(join(folder, 'package.json'))('pg-transactional-outbox') as Library

const PUBLICATION = 'outbox_publication'
const slot = topic.replace('.', '_')
const PER_TRANSACTION = 10

const client = new pg.Client({ connectionString: url })
await client.connect()
await client.query(
  library.DatabaseSetup.dropAndCreateTable({ outboxOrInbox: 'outbox', schema: 'public', table: 'outbox' }),
)
await client.query(`CREATE PUBLICATION ${PUBLICATION} FOR TABLE outbox WITH (publish = 'insert')`)
await client.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`)
await client.query(`DO $$ BEGIN
  FOR i IN 0 .. ${facts - 1} LOOP
    INSERT INTO outbox (id, aggregate_type, aggregate_id, message_type, payload, metadata)
    VALUES (gen_random_uuid(), 'order', md5(i::text), 'order.placed', jsonb_build_object(
      'customer', 'Anna Okafor', 'email', md5(i::text || 'e') || '@example.com', 'total', i * 7 % 9973 / 100.0,
      'placed', 1760000000000 + i, 'currency', 'EUR',
      'items', jsonb_build_array(jsonb_build_object('sku', md5(i::text || 's'), 'count', 1 + i % 7))), '{}');
    IF i % ${PER_TRANSACTION} = ${PER_TRANSACTION - 1} THEN COMMIT; END IF;
  END LOOP;
END $$`)

const kafka = new Kafka({ brokers: [...brokers], clientId: 'outbox', logLevel: logLevel.NOTHING })
const producer = kafka.producer({ idempotent: true, allowAutoTopicCreation: false })
await producer.connect()
let finish!: (result: ContestantResult) => void
const finished = new Promise<ContestantResult>((resolve) => {
  finish = resolve
})
let span: (() => ContestantResult) | undefined
let done = 0
const { hostname: host, port, username, password, pathname } = new URL(url)
const [shutdown] = library.initializeReplicationMessageListener(
  {
    outboxOrInbox: 'outbox',
    dbListenerConfig: {
      host,
      port: Number(port),
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
      database: pathname.slice(1),
    },
    settings: {
      dbSchema: 'public',
      dbTable: 'outbox',
      dbPublication: PUBLICATION,
      dbReplicationSlot: slot,
      // As its README has it for an outbox.
      enableMaxAttemptsProtection: false,
      enablePoisonousMessageProtection: false,
    },
  },
  {
    async handle({ id, aggregateId, messageType, payload }) {
      span ??= startSpan(facts)
      const headers = { event_id: id, event_type: messageType }
      const value = JSON.stringify(payload)
      await producer.send({ topic, acks: -1, messages: [{ key: aggregateId, value, headers }] })
      if (++done === facts) finish(span())
    },
  },
  library.getDisabledLogger(),
)
const result = await finished
await shutdown()
await producer.disconnect()
await client.query(
  'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active',
  [slot],
)
await client.end()
process.stdout.write(`${JSON.stringify({ ...result, facts })}\n`)
process.exit(0)
