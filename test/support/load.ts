import { createHash, randomInt } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { prepareEmission } from '../../src/emitter.ts'
import { encodeFact } from '../../src/envelope/encode.ts'
import { Fact } from '../../src/fact.ts'
import { registerCleanup } from './cleanup.ts'

// Many writers at once on one database, and the truth of what they committed, in the same transactions:
//
//   chaos_keys    a row a key; its lock, held until the commit, makes the key's sequence its commit order
//   chaos_facts   a row a fact: what is in it was committed and must arrive, what is not must not
//
// A COMMIT whose outcome is unknown (the server went away) needs no special care: its rows say it.

/** What must be in Kafka. */
export interface CommittedFact {
  readonly id: string
  readonly topic: string
  readonly key: string
  /** Order of the key's commits. */
  readonly sequence: number
  /** MD5 of the emitted bytes. */
  readonly digest: string
}

/**
 * - `tiny`: one or two facts.
 * - `savepoints`: two of four facts are rolled back to a savepoint, one of them nested.
 * - `rollbacks`: every second transaction is rolled back.
 * - `big`: thousands of facts over many keys.
 * - `alone`: non-transactional messages, every third in a transaction that is rolled back.
 * - `foreign`: another prefix.
 */
export type WriterKind = 'tiny' | 'savepoints' | 'rollbacks' | 'big' | 'alone' | 'foreign'

export const ALL_WRITERS: readonly WriterKind[] = ['tiny', 'tiny', 'savepoints', 'rollbacks', 'alone', 'foreign', 'big']

export interface LoadOptions {
  /** Of the database; straight to the server, not through the relay's proxy. */
  readonly url: string
  readonly prefix: string
  /** Default: all, `tiny` twice. */
  readonly writers?: readonly WriterKind[]
  /** Of all writers together, roughly. Default 600. */
  readonly factsPerSecond?: number
  /** Of a big transaction. Default 2,000. */
  readonly bigFacts?: number
  /** Default 200. */
  readonly payloadBytes?: number
}

export interface Load {
  /** Facts of transactions that were committed, as far as the writers know. */
  readonly committed: number
  /** Ids of messages that may arrive but need not: non-transactional ones whose transaction did not commit. */
  readonly optional: ReadonlySet<string>
  /** Resolves when so many more facts were committed. */
  whenCommitted(more: number, timeoutMs?: number): Promise<void>
  /** Lets the open transactions end, and closes. Called by itself. */
  stop(): Promise<void>
}

/** Aggregate types, and so topics `<prefix>.<type>`. */
export const LOAD_TYPES = ['order', 'user'] as const
const KEYS = 16
const FOREIGN_SUFFIX = 'foreign'
const RECONNECT_MS = 100

/** Topics of the load; nothing may ever be in those of the foreign prefix. */
export function loadTopics(prefix: string): { readonly ours: string[]; readonly foreign: string[] } {
  return {
    ours: LOAD_TYPES.map((type) => `${prefix}.${type}`),
    foreign: LOAD_TYPES.map((type) => `${prefix}${FOREIGN_SUFFIX}.${type}`),
  }
}

/** Makes the tables of the truth, before the slot and the load. */
export async function createTruth(url: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(`
      CREATE TABLE chaos_keys (key text PRIMARY KEY, sequence int NOT NULL DEFAULT 0);
      CREATE TABLE chaos_facts (id text PRIMARY KEY, topic text NOT NULL, key text NOT NULL, sequence int NOT NULL, digest text NOT NULL);`)
    const keys = ['k', 'n', 'b'].flatMap((first) => Array.from({ length: KEYS }, (_, index) => `${first}${index}`))
    await client.query('INSERT INTO chaos_keys (key) SELECT unnest($1::text[])', [keys])
  })
}

export function readTruth(url: string): Promise<CommittedFact[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<CommittedFact>('SELECT id, topic, key, sequence, digest FROM chaos_facts')
    return rows
  })
}

/**
 * Starts writing, and goes on through every crash of the server until `stop()`.
 *
 * @example
 * await createTruth(database.url)
 * const load = startLoad({ url: database.url, prefix })
 * await load.whenCommitted(1_000)
 * await load.stop()
 */
export function startLoad(options: LoadOptions): Load {
  const load = new RunningLoad(options)
  registerCleanup(() => load.stop())
  return load
}

/** One transaction with so many facts, over all keys; the truth with it. */
export async function commitMany(options: LoadOptions & { readonly facts: number }): Promise<void> {
  await withClient(options.url, (client) => new Writer(options, new Set()).bigTransaction(client, options.facts))
}

/**
 * A transaction with facts of one key (`k0` … `k15`; even ones are of type `order`, odd ones `user`) that is still to be committed.
 *
 * @example const { commit } = await openTransaction({ url, prefix, key: 'k0' })
 */
export async function openTransaction(
  options: LoadOptions & { readonly key: string; readonly facts?: number },
): Promise<{ commit(): Promise<void> }> {
  const client = await connect(options.url)
  registerCleanup(() => client.end())
  await client.query('BEGIN')
  await new Writer(options, new Set()).write(client, options.key, options.facts ?? 1)
  return {
    async commit() {
      await client.query('COMMIT')
    },
  }
}

/** One transaction with facts of one key; the truth with it. */
export async function commitKey(
  options: LoadOptions & { readonly key: string; readonly facts?: number },
): Promise<void> {
  const { commit } = await openTransaction(options)
  await commit()
}

class RunningLoad implements Load {
  readonly optional = new Set<string>()
  readonly #options: LoadOptions
  readonly #writers: Promise<void>[]
  readonly #waiters = new Set<{ readonly at: number; readonly resolve: () => void }>()
  #stopping = false
  committed = 0

  constructor(options: LoadOptions) {
    this.#options = options
    const kinds = options.writers ?? ALL_WRITERS
    this.#writers = kinds.map((kind) => this.#run(kind, (options.factsPerSecond ?? 600) / kinds.length))
  }

  async whenCommitted(more: number, timeoutMs = 30_000): Promise<void> {
    const at = this.committed + more
    const before = this.committed
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter)
        reject(new Error(`${this.committed - before} facts were committed within ${timeoutMs} ms, not ${more}`))
      }, timeoutMs)
      const waiter = {
        at,
        resolve: () => {
          clearTimeout(timer)
          resolve()
        },
      }
      this.#waiters.add(waiter)
    })
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#writers)
  }

  async #run(kind: WriterKind, factsPerSecond: number): Promise<void> {
    const writer = new Writer(this.#options, this.optional)
    let client: pg.Client | undefined
    let dueMs = performance.now()
    for (let turn = 0; !this.#stopping; turn++) {
      try {
        client ??= await connect(this.#options.url)
        const written = await writer.transaction(kind, client, turn)
        this.#count(written)
        // Big transactions take as long as their facts are worth; who is late does not catch up.
        dueMs = Math.max(performance.now() - 1_000, dueMs + (1_000 * Math.max(1, written)) / factsPerSecond)
        while (!this.#stopping && performance.now() < dueMs) await pause(Math.min(50, dueMs - performance.now()))
      } catch {
        void client?.end().catch(() => {})
        client = undefined
        if (!this.#stopping) await pause(RECONNECT_MS)
      }
    }
    await client?.end().catch(() => {})
  }

  #count(written: number): void {
    this.committed += written
    for (const waiter of this.#waiters) {
      if (this.committed < waiter.at) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }
}

class Writer {
  readonly #options: LoadOptions
  readonly #optional: Set<string>

  constructor(options: LoadOptions, optional: Set<string>) {
    this.#options = options
    this.#optional = optional
  }

  /** Resolves to the number of facts that were committed. */
  async transaction(kind: WriterKind, client: pg.Client, turn: number): Promise<number> {
    const key = `k${randomInt(KEYS)}`
    if (kind === 'big') return this.bigTransaction(client, this.#options.bigFacts ?? 2_000)
    if (kind === 'alone') return this.#alone(client, turn)
    await client.query('BEGIN')
    try {
      if (kind === 'foreign') {
        await this.#emit(client, this.#facts(key, 2), `${this.#options.prefix}${FOREIGN_SUFFIX}`)
        await client.query('COMMIT')
        return 0
      }
      await this.write(client, key, 1)
      if (kind === 'tiny') {
        if (turn % 2 === 1) await this.write(client, key, 1)
      } else if (kind === 'savepoints') {
        await client.query('SAVEPOINT one')
        await this.write(client, `k${randomInt(KEYS)}`, 1)
        await client.query('SAVEPOINT two')
        await this.write(client, key, 1)
        await client.query('ROLLBACK TO two')
        if (turn % 2 === 0) await client.query('ROLLBACK TO one')
        await this.write(client, key, 1)
      }
      const commits = kind !== 'rollbacks' || turn % 2 === 0
      await client.query(commits ? 'COMMIT' : 'ROLLBACK')
      if (!commits) return 0
      return kind === 'tiny' ? 1 + (turn % 2) : kind === 'savepoints' ? 2 + (turn % 2) : 1
    } catch (error) {
      // A deadlock between savepoint writers, say; when the server is gone this fails as well.
      await client.query('ROLLBACK')
      throw error
    }
  }

  async bigTransaction(client: pg.Client, count: number): Promise<number> {
    const step = Math.min(1_000, Math.ceil(count / KEYS))
    await client.query('BEGIN')
    // Keys of its own, so that the others go on meanwhile; always in this order, so that two of them do not deadlock.
    await client.query("SELECT FROM chaos_keys WHERE key LIKE 'b%' ORDER BY key FOR UPDATE")
    for (let written = 0, turn = 0; written < count; written += step, turn++)
      await this.write(client, `b${turn % KEYS}`, Math.min(step, count - written))
    await client.query('COMMIT')
    return count
  }

  /** Non-transactional: in the WAL at once, whatever becomes of the transaction. The row's lock makes their order known too. */
  async #alone(client: pg.Client, turn: number): Promise<number> {
    const key = `n${randomInt(KEYS)}`
    const [fact] = this.#facts(key, 1) as [Fact]
    // Until it is known to be committed it may arrive and need not; its row says afterwards that it must.
    this.#optional.add(fact.id)
    await client.query('BEGIN')
    await this.#record(client, key, [fact])
    await client.query('SELECT pg_logical_emit_message(false, $1::text, $2::bytea)', [
      this.#options.prefix,
      Buffer.from(encodeFact(fact)),
    ])
    const commits = turn % 3 !== 0
    await client.query(commits ? 'COMMIT' : 'ROLLBACK')
    return commits ? 1 : 0
  }

  #facts(key: string, count: number): Fact[] {
    const { prefix, payloadBytes = 200 } = this.#options
    const aggregateType = typeOfKey(key)
    return Array.from(
      { length: count },
      () =>
        new Fact({
          prefix,
          aggregateType,
          aggregateId: key,
          eventType: `${aggregateType}.changed`,
          payload: 'x'.repeat(payloadBytes),
        }),
    )
  }

  async write(client: pg.Client, key: string, count: number): Promise<void> {
    const facts = this.#facts(key, count)
    await this.#record(client, key, facts)
    await this.#emit(client, facts)
  }

  /** The rows, and with them the key's lock. */
  async #record(client: pg.Client, key: string, facts: readonly Fact[]): Promise<void> {
    await client.query(
      `WITH k AS (UPDATE chaos_keys SET sequence = sequence + $3 WHERE key = $1 RETURNING sequence)
       INSERT INTO chaos_facts (id, topic, key, sequence, digest)
       SELECT f.id, $2, $1, k.sequence - $3 + f.place, f.digest
       FROM k, unnest($4::text[], $5::text[]) WITH ORDINALITY AS f (id, digest, place)`,
      [
        key,
        `${this.#options.prefix}.${typeOfKey(key)}`,
        facts.length,
        facts.map(({ id }) => id),
        facts.map((fact) => digestOf(encodeFact(fact))),
      ],
    )
  }

  async #emit(client: pg.Client, facts: readonly Fact[], prefix?: string): Promise<void> {
    const emitted = prefix === undefined ? facts : facts.map((fact) => fact.withPrefix(prefix))
    const { statement } = prepareEmission(emitted)
    if (statement) await client.query(statement.text, [...statement.values])
  }
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('base64')
}

function typeOfKey(key: string): (typeof LOAD_TYPES)[number] {
  return Number(key.slice(1)) % 2 === 0 ? 'order' : 'user'
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'factlib-chaos-load',
    connectionTimeoutMillis: 3_000,
  })
  client.on('error', () => {})
  await client.connect()
  return client
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connect(url)
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
