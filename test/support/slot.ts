import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { registerCleanup } from './cleanup.ts'
import type { TestDatabase } from './database.ts'
import { parseSlotMessages, type SlotMessage } from './pgoutput.ts'
import { waitFor } from './wait.ts'

export type { SlotMessage } from './pgoutput.ts'

export interface TestSlot {
  readonly name: string
  readonly publication: string
  /**
   * The messages since the last read, which are then confirmed and do not come again: all that was committed before the call.
   * A non-transactional message of a transaction that rolled back is on disk, and so seen, only after somebody's next commit.
   */
  read(): Promise<SlotMessage[]>
  /** The same messages, left in the slot. */
  peek(): Promise<SlotMessage[]>
  /** @throws when the slot does not exist */
  confirmedFlushLsn(): Promise<bigint>
  /** The process that streams from it; undefined when nobody does. */
  activePid(): Promise<number | undefined>
  /** Called by itself; fails when somebody still streams from the slot after 5 s (who is then ended). Fine when it is gone. */
  drop(): Promise<void>
}

export interface SlotNames {
  /** Default: a unique name. */
  readonly publication?: string
  /** Default: a unique name. */
  readonly slot?: string
}

/**
 * A publication without tables and a pgoutput slot on it, both unique, dropped at the end of the test or file.
 *
 * @example
 * const slot = await createSlot(database)
 * await database.query(`SELECT pg_logical_emit_message(true, 'shop', 'x'::bytea)`)
 * expect(await slot.read()).toMatchObject([{ prefix: 'shop', transactional: true }])
 */
export async function createSlot(database: TestDatabase, names: SlotNames = {}): Promise<TestSlot> {
  const slot = adoptSlot(database, names)
  await database.query(`CREATE PUBLICATION ${pg.escapeIdentifier(slot.publication)}`)
  await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot.name])
  return slot
}

/**
 * The same for a slot and publication that something else makes, now or later (the relay): its names, reading it, and dropping it
 * at the end.
 *
 * @example const slot = adoptSlot(database); startRelay({ slot: slot.name, publication: slot.publication })
 */
export function adoptSlot(database: TestDatabase, names: SlotNames = {}): TestSlot {
  const suffix = randomBytes(6).toString('hex')
  const slot = new PgoutputSlot(database, names.slot ?? `slot_${suffix}`, names.publication ?? `publication_${suffix}`)
  registerCleanup(() => slot.drop())
  return slot
}

class PgoutputSlot implements TestSlot {
  readonly name: string
  readonly publication: string
  readonly #database: TestDatabase

  constructor(database: TestDatabase, name: string, publication: string) {
    this.#database = database
    this.name = name
    this.publication = publication
  }

  read(): Promise<SlotMessage[]> {
    return this.#changes('get')
  }

  peek(): Promise<SlotMessage[]> {
    return this.#changes('peek')
  }

  async #changes(how: 'get' | 'peek'): Promise<SlotMessage[]> {
    const rows = await this.#database.query<{ data: Buffer }>(
      `SELECT data FROM pg_logical_slot_${how}_binary_changes($1, NULL, NULL,
         'proto_version', '1', 'publication_names', $2, 'messages', 'true')`,
      [this.name, pg.escapeIdentifier(this.publication)],
    )
    return parseSlotMessages(rows.map((row) => row.data))
  }

  async confirmedFlushLsn(): Promise<bigint> {
    const row = await this.#row()
    if (!row) throw new Error(`slot ${this.name} does not exist`)
    return BigInt(row.confirmed)
  }

  async activePid(): Promise<number | undefined> {
    return (await this.#row())?.pid ?? undefined
  }

  async drop(): Promise<void> {
    const free = async (): Promise<boolean> => (await this.activePid()) === undefined
    const held = await waitFor(free, { what: 'the slot to be free', timeoutMs: 5_000 }).then(
      () => undefined,
      () => this.activePid(),
    )
    if (held !== undefined) {
      await this.#database.query('SELECT pg_terminate_backend($1)', [held])
      await waitFor(free, { what: `slot ${this.name} to be let go`, timeoutMs: 5_000 })
    }
    await this.#database.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
      [this.name],
    )
    if (held !== undefined) throw new Error(`slot ${this.name} was still held by pid ${held} at the end of the test`)
  }

  async #row(): Promise<{ pid: number | null; confirmed: string } | undefined> {
    const [row] = await this.#database.query<{ pid: number | null; confirmed: string }>(
      `SELECT active_pid AS pid, (confirmed_flush_lsn - '0/0'::pg_lsn)::text AS confirmed
       FROM pg_replication_slots WHERE slot_name = $1`,
      [this.name],
    )
    return row
  }
}
