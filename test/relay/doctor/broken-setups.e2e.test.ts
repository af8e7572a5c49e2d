import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { describe, expect, inject, it } from 'vitest'
import { setup } from '../../../relay/cli/setup.ts'
import { parseRelayOptions } from '../../../relay/config/settings.ts'
import type { RelayOptions } from '../../../relay/index.ts'
import { encodeFact } from '../../../src/envelope/encode.ts'
import { Fact } from '../../../src/fact.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createDatabase } from '../../support/database.ts'
import { freePort } from '../../support/services/free-port.ts'
import { adoptSlot } from '../../support/slot.ts'
import { captureTerminal } from '../cli/captured-terminal.ts'
import { createBench, emitBytes, type RelayBench } from '../relay-bench.ts'
import { type Expected, expectBroken, optionsOf } from './broken-setup.ts'

// Set-ups that are broken for real on the run's PostgreSQL and Kafka, one at a time: the doctor names cause and remedy, and
// the relay fails or waits as it should. Servers that must be broken themselves: broken-postgres and broken-kafka.

interface Row {
  /** Breaks it; what is returned goes over the options of doctor and relay. */
  readonly arrange: (bench: RelayBench) => Promise<Partial<RelayOptions> | undefined> | undefined
  readonly expected: Expected
}

async function prepare(bench: RelayBench): Promise<undefined> {
  const settings = parseRelayOptions(optionsOf(bench), { env: {} })
  expect(await setup(settings, {}, captureTerminal())).toBe(0)
}

function urlWith(bench: RelayBench, change: Partial<Pick<URL, 'password' | 'username' | 'pathname' | 'port'>>): string {
  return Object.assign(new URL(bench.database.url), change).href
}

async function createRole(bench: RelayBench, rights: string): Promise<{ name: string; url: string }> {
  const name = `role_${randomBytes(5).toString('hex')}`
  await bench.database.query(`CREATE ROLE ${name} LOGIN PASSWORD 'secret-of-role' ${rights}`)
  registerCleanup(async () => {
    await bench.database.query(`DROP OWNED BY ${name}; DROP ROLE ${name}`)
  })
  return { name, url: urlWith(bench, { username: name, password: 'secret-of-role' }) }
}

const slotOf =
  (sql: (name: string) => string, publication = true) =>
  async (bench: RelayBench) => {
    if (publication) await bench.database.query(`CREATE PUBLICATION ${bench.slot.publication}`)
    await bench.database.query(sql(bench.slot.name))
    return undefined
  }

const POSTGRES: Readonly<Record<string, Row>> = {
  'a wrong password': {
    arrange: async (bench) => ({ databaseUrl: urlWith(bench, { password: 'not-the-secret' }) }),
    expected: { code: 'POSTGRES_PASSWORD', remedy: /MASTER_DATABASE_URL/, run: /PostgreSQL refuses us/ },
  },
  'a role that does not exist': {
    arrange: async (bench) => ({ databaseUrl: urlWith(bench, { username: 'nobody_here' }) }),
    expected: {
      code: 'POSTGRES_PASSWORD',
      what: /nobody_here/,
      remedy: /password nobody_here/,
      run: /PostgreSQL refuses us/,
    },
  },
  'a database that does not exist': {
    arrange: async (bench) => ({ databaseUrl: urlWith(bench, { pathname: '/no_such_database' }) }),
    expected: { code: 'DATABASE_MISSING', remedy: /MASTER_DATABASE_URL/, run: /PostgreSQL refuses us/ },
  },
  'nobody at the address': {
    arrange: async (bench) => ({ databaseUrl: urlWith(bench, { port: String(await freePort()) }) }),
    expected: { code: 'POSTGRES_UNREACHABLE', remedy: /pg_isready -h 127\.0\.0\.1 -p \d+/, run: /ECONNREFUSED/ },
  },
  'a server without TLS where TLS is a must': {
    arrange: async (bench) => ({ databaseUrl: `${bench.database.url}?sslmode=require` }),
    expected: { code: 'POSTGRES_TLS', remedy: /ssl = on/, run: /SSL/ },
  },
  'a role without the right to replicate': {
    arrange: async (bench) => ({ databaseUrl: (await createRole(bench, '')).url }),
    expected: {
      code: 'ROLE_REPLICATION',
      remedy: /ALTER ROLE "role_.*" WITH REPLICATION/,
      run: /PostgreSQL refuses us/,
    },
  },
  'a role that may replicate, but not make the publication': {
    arrange: async (bench) => ({ databaseUrl: (await createRole(bench, 'REPLICATION')).url }),
    expected: { code: 'ROLE_CREATE', remedy: /CREATE PUBLICATION/, run: /permission denied/ },
  },
  'a role that may not use the memory': {
    arrange: async (bench) => {
      await prepare(bench)
      const role = await createRole(bench, 'REPLICATION')
      await bench.database.query(`GRANT pg_read_all_stats TO ${role.name}`)
      return { databaseUrl: role.url }
    },
    expected: { code: 'MEMORY_RIGHTS', level: 'warning', remedy: /GRANT SELECT, INSERT, UPDATE/, run: 'works' },
  },
  'a slot of another plugin': {
    arrange: slotOf((name) => `SELECT pg_create_logical_replication_slot('${name}', 'test_decoding')`),
    expected: { code: 'SLOT_OTHER_PLUGIN', what: /test_decoding/, remedy: /REPLICATION_SLOT_NAME/, run: 11 },
  },
  'a physical slot': {
    arrange: slotOf((name) => `SELECT pg_create_physical_replication_slot('${name}')`),
    expected: { code: 'SLOT_PHYSICAL', remedy: /REPLICATION_SLOT_NAME/, run: 11 },
  },
  'a slot that was made with two_phase': {
    arrange: slotOf((name) => `SELECT pg_create_logical_replication_slot('${name}', 'pgoutput', false, true)`),
    expected: { code: 'SLOT_TWO_PHASE', remedy: /pg_drop_replication_slot/, run: 11 },
  },
  'a temporary slot': {
    async arrange(bench) {
      await bench.database.query(`CREATE PUBLICATION ${bench.slot.publication}`)
      const client = new pg.Client({ connectionString: bench.database.url })
      await client.connect()
      registerCleanup(() => client.end())
      await client.query(`SELECT pg_create_logical_replication_slot('${bench.slot.name}', 'pgoutput', true)`)
      return undefined
    },
    expected: { code: 'SLOT_TEMPORARY', remedy: /REPLICATION_SLOT_NAME/, run: 11 },
  },
  'a slot in another database': {
    async arrange(bench) {
      const other = await createDatabase()
      const slot = adoptSlot(other, { slot: bench.slot.name })
      await other.query(`SELECT pg_create_logical_replication_slot('${slot.name}', 'pgoutput')`)
      return undefined
    },
    expected: { code: 'SLOT_OTHER_DATABASE', what: /belongs to database/, remedy: /REPLICATION_SLOT_NAME/, run: 11 },
  },
  'a publication that is gone': {
    async arrange(bench) {
      await prepare(bench)
      await bench.database.query(`DROP PUBLICATION ${bench.slot.publication}`)
      return undefined
    },
    expected: { code: 'PUBLICATION_MISSING', remedy: /CREATE PUBLICATION/, run: 11 },
  },
  'a slot that is gone, and is remembered': {
    async arrange(bench) {
      await bench.createSlot()
      await bench.whenSlotFree()
      await bench.database.query('SELECT pg_drop_replication_slot($1)', [bench.slot.name])
      return undefined
    },
    expected: { code: 'SLOT_GONE', remedy: /--accept-gap/, run: 10 },
  },
  'a slot that somebody else moved': {
    async arrange(bench) {
      await bench.createSlot()
      await bench.whenSlotFree()
      await bench.commit({ aggregateId: 'stolen' })
      await bench.database.query('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())', [bench.slot.name])
      return undefined
    },
    expected: { code: 'SLOT_GAP', what: /somebody else moved it/, remedy: /--accept-gap/, run: 10 },
  },
  'no slot where slots are made by hand': {
    arrange: async () => ({ slotCreate: 'never' as const }),
    expected: { code: 'SLOT_MISSING', remedy: /factlib-relay setup/, run: 10 },
  },
  'a message that is not a fact': {
    async arrange(bench) {
      await prepare(bench)
      await emitBytes(bench.database.pool, bench.prefix, Buffer.from('no envelope'))
      return undefined
    },
    expected: { code: 'MALFORMED_FACT', what: /11 bytes/, remedy: /DEAD_LETTER_TOPIC/, run: 13 },
  },
}

const KAFKA: Readonly<Record<string, Row>> = {
  'no Kafka': {
    async arrange(bench) {
      await prepare(bench)
      return { kafkaBrokers: [`127.0.0.1:${await freePort()}`] }
    },
    expected: {
      code: 'KAFKA_UNREACHABLE',
      what: /ECONNREFUSED/,
      remedy: /KAFKA_BROKERS/,
      run: /cannot connect to Kafka|Kafka/,
    },
  },
  'something that is no broker': {
    async arrange(bench) {
      await prepare(bench)
      return { kafkaBrokers: [`127.0.0.1:${new URL(bench.database.url).port}`] }
    },
    expected: { code: 'KAFKA_LISTENER', remedy: /Is it a broker/, run: /Kafka/ },
  },
  'a topic that is missing': {
    async arrange(bench) {
      await prepare(bench)
      await bench.commit({ aggregateId: 'waits' })
      return undefined
    },
    expected: {
      code: 'TOPIC_MISSING',
      what: /1 fact waits for it/,
      remedy: /kafka-topics\.sh .* --create/,
      run: /does not exist/,
    },
  },
  'a fact that is larger than its topic takes': {
    async arrange(bench) {
      await prepare(bench)
      await bench.topics({ topic: 'order', config: { 'max.message.bytes': '1000' } })
      await bench.commit({ aggregateId: 'large', payload: randomBytes(5_000) })
      return undefined
    },
    expected: {
      code: 'MESSAGE_TOO_LARGE',
      what: /takes 1000 bytes/,
      remedy: /max\.message\.bytes=\d+/,
      run: /MESSAGE_TOO_LARGE/,
    },
  },
  'a topic that wants more in-sync replicas than it has': {
    async arrange(bench) {
      await prepare(bench)
      await bench.topics({ topic: 'order', config: { 'min.insync.replicas': '2' } })
      await bench.commit({ aggregateId: 'waits' })
      return undefined
    },
    expected: { code: 'MIN_INSYNC', level: 'warning', remedy: /min\.insync\.replicas=1/, run: 'works' },
  },
  "an aggregate type that makes no topic's name": {
    async arrange(bench) {
      await prepare(bench)
      const fact = Buffer.from(encodeFact(new Fact({ aggregateType: 'or.er', aggregateId: '1', eventType: 'x' })))
      // As Django would let it pass.
      fact.write(' ', fact.indexOf('or.er') + 2)
      await emitBytes(bench.database.pool, bench.prefix, fact)
      return undefined
    },
    expected: { code: 'TOPIC_NAME', remedy: /DEAD_LETTER_TOPIC/, run: /INVALID_TOPIC|Invalid topic/i },
  },
}

describe.each([
  ['PostgreSQL', POSTGRES],
  ['Kafka', KAFKA],
])('%s', (_, rows) => {
  it.each(Object.keys(rows))('%s', async (name) => {
    const row = rows[name] as Row
    const bench = await createBench()
    const options = (await row.arrange(bench)) ?? {}
    const output = await expectBroken(bench, row.expected, options)
    for (const secret of ['not-the-secret', 'secret-of-role', new URL(inject('postgresUrl')).password])
      expect(output).not.toContain(secret)
  })
})
