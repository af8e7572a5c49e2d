// A database with a backlog of facts, and a slot from before it that every contestant gets a copy of.
import { createHash } from 'node:crypto'
import pg from 'pg'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact } from '../../src/fact.ts'

export const PREFIX = 'bench'
const PUBLICATION = 'bench_facts'
/** Different facts; a backlog goes round them. */
const DISTINCT = 30_000

export interface Shape {
  readonly facts: number
  /** Facts of one transaction. */
  readonly perTransaction: number
  /** Aggregate types, and so topics. */
  readonly topics: number
}

export interface Backlog {
  /** Of the database, with password. */
  readonly url: string
  readonly publication: string
  readonly shape: Shape
  /** Behind the last fact's commit, `%X/%X`. */
  readonly endLsn: string
  /** Bytes of a fact on average: the message's content. */
  readonly factBytes: number
  /** A slot that has the whole backlog before it; dropped by `dropSlot`. */
  copySlot(name: string): Promise<void>
  dropSlot(name: string): Promise<void>
  confirmedLsn(name: string): Promise<string>
  drop(): Promise<void>
}

/** Facts of orders as a shop emits them: names of fields repeat; ids, names, amounts and times do not. About 287 bytes. */
export function benchFact(n: number, topics: number): Buffer {
  const hash = createHash('sha256').update(`fact ${n}`).digest('hex')
  const pick = <T,>(list: readonly T[], at: number): T =>
    list[Number.parseInt(hash.slice(at, at + 4), 16) % list.length] as T
  const id = `${hash.slice(0, 8)}-${hash.slice(8, 12)}-4${hash.slice(13, 16)}-a${hash.slice(17, 20)}-${hash.slice(20, 32)}`
  const fact = new Fact({
    aggregateType: aggregateType(n % topics),
    aggregateId: id,
    eventType: pick(['order.placed', 'order.paid', 'order.shipped'], 40),
    payload: {
      customer: `${pick(['Anna', 'Béla', 'Chen', 'Дарья', 'Émile', 'Farid'], 2)} ${pick(['Novak', 'Müller', 'Okafor'], 7)}`,
      email: `${hash.slice(44, 52)}@example.com`,
      total: Number.parseInt(hash.slice(4, 10), 16) / 100,
      placed: 1_760_000_000_000 + n * 977,
      currency: pick(['EUR', 'USD', 'RUB', 'JPY'], 11),
      items: [{ sku: hash.slice(12, 24), count: 1 + (n % 7), note: pick(['gift', 'fragile', ''], 33) }],
    },
  })
  return Buffer.from(encodeFact(fact))
}

export function aggregateType(index: number): string {
  return `order${index}`
}

export function topicsOf(shape: Pick<Shape, 'topics'>): string[] {
  return Array.from({ length: shape.topics }, (_, index) => `${PREFIX}.${aggregateType(index)}`)
}

/** Writes a backlog into a database of its own; its slot is called after it, too. */
export async function createBacklog(postgresUrl: string, name: string, shape: Shape): Promise<Backlog> {
  const sourceSlot = `${name}_source`
  await withClient(postgresUrl, (client) => client.query(`CREATE DATABASE ${name}`))
  const url = new URL(postgresUrl)
  url.pathname = `/${name}`
  const client = new pg.Client({ connectionString: url.href })
  // The server is stopped under it when a contestant fails.
  client.on('error', () => {})
  await client.connect()
  const query = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row> =>
    (await client.query<Row>(text, values)).rows[0] as Row

  const pool = Array.from({ length: Math.min(DISTINCT, shape.facts) }, (_, n) => benchFact(n, shape.topics))
  await query('CREATE UNLOGGED TABLE pool (n int, content bytea)')
  for (let at = 0; at < pool.length; at += 5_000) {
    const part = pool.slice(at, at + 5_000)
    await query(
      'INSERT INTO pool SELECT $1::int + n, content FROM unnest($2::bytea[]) WITH ORDINALITY AS u(content, n)',
      [at, part],
    )
  }
  await query(`CREATE PUBLICATION ${PUBLICATION}`)
  await query(`SELECT pg_create_logical_replication_slot('${sourceSlot}', 'pgoutput')`)
  await query('SET synchronous_commit = off')
  await query(`DO $$
    DECLARE contents bytea[];
    BEGIN
      SELECT array_agg(content ORDER BY n) INTO contents FROM pool;
      FOR i IN 0 .. ${shape.facts - 1} LOOP
        PERFORM pg_logical_emit_message(true, '${PREFIX}', contents[1 + i % ${pool.length}]);
        IF i % ${shape.perTransaction} = ${shape.perTransaction - 1} THEN COMMIT; END IF;
      END LOOP;
    END $$`)
  const { lsn } = await query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn() AS lsn')
  // Behind it a message of somebody else's, so that nobody waits for the server to say that there is no more.
  await query(`SELECT pg_logical_emit_message(true, 'not-ours', 'x'::bytea)`)
  await query('CHECKPOINT')
  return {
    url: url.href,
    publication: PUBLICATION,
    shape,
    endLsn: lsn,
    factBytes: pool.reduce((sum, { length }) => sum + length, 0) / pool.length,
    async copySlot(slot) {
      await query('SELECT pg_copy_logical_replication_slot($1, $2)', [sourceSlot, slot])
    },
    async dropSlot(slot) {
      for (let attempt = 1; ; attempt++) {
        try {
          await query('SELECT pg_drop_replication_slot($1)', [slot])
          return
        } catch (error) {
          // The server's side of a closed connection ends a moment later.
          if (attempt === 50) throw error
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
      }
    },
    async confirmedLsn(slot) {
      const row = await query<{ lsn: string }>(
        'SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = $1',
        [slot],
      )
      return row.lsn
    },
    async drop() {
      await query('SELECT pg_drop_replication_slot($1)', [sourceSlot])
      await client.end()
      await withClient(postgresUrl, (admin) => admin.query(`DROP DATABASE ${name} WITH (FORCE)`))
    },
  }
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
