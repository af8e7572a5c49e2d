import { RelayHaltError } from '../../errors.ts'
import { formatLsn, type Lsn, parseLsn } from '../../lsn.ts'
import { EXIT } from '../../policy.ts'

// What the relay remembers of its slot, in the database that the slot belongs to: one row a slot.
//
// It is written before a position is confirmed, so the slot's `confirmed_flush_lsn` is never ahead of it by our doing. A
// slot that is ahead, gone, or of another cluster was moved by somebody else, and facts may be missing: the relay stops
// and says so rather than go on over a gap.

export interface RememberedSlot {
  readonly systemId: bigint
  readonly timeline: number
  /** The furthest position that a relay of this slot was ever about to confirm; undefined: not known. */
  readonly confirmedLsn: Lsn | undefined
}

export interface FoundSlot {
  readonly systemId: bigint
  readonly timeline: number
  /** Undefined: there is no slot. */
  readonly confirmedLsn: Lsn | undefined
  /** Timelines that this one descends from, with the LSN at which each ended. */
  readonly history: ReadonlyMap<number, Lsn>
}

/** Runs one statement; the part of a `pg` client that is needed. */
export interface QueryClient {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

/**
 * Compares what is remembered with what is there. Undefined: no gap; a text: the gap, in words.
 * Nothing remembered (a first start, or a slot taken over from OwlPost): no gap, it is adopted.
 */
export function findGap(remembered: RememberedSlot | undefined, found: FoundSlot): string | undefined {
  if (!remembered) return undefined
  const last = remembered.confirmedLsn === undefined ? 'unknown' : formatLsn(remembered.confirmedLsn)
  if (remembered.systemId !== found.systemId)
    return `it was last read on database cluster ${remembered.systemId}, this is ${found.systemId}`
  if (found.confirmedLsn === undefined) return `it was there (last confirmed ${last}) and is gone`
  if (remembered.timeline !== found.timeline && !found.history.has(remembered.timeline))
    return `it was last read on timeline ${remembered.timeline}, from which timeline ${found.timeline} does not descend`
  if (remembered.confirmedLsn !== undefined && found.confirmedLsn > remembered.confirmedLsn)
    return `it stands at ${formatLsn(found.confirmedLsn)}, we confirmed ${last} at most: somebody else moved it`
  return undefined
}

/** The halt for a gap; `acceptGap` is the operator's way on. */
export function gapError(slot: string, gap: string): RelayHaltError {
  return new RelayHaltError(
    'FACTLIB_SLOT_GONE',
    EXIT.slotGone,
    `replication slot "${slot}" cannot be continued without a gap: ${gap}. Facts between may be missing in Kafka: recover them from the tables, then start once with --accept-gap`,
  )
}

/** Makes the table; `factlib-relay setup` runs it too. */
export const SLOT_MEMORY_DDL: readonly string[] = [
  'CREATE SCHEMA IF NOT EXISTS factlib',
  'CREATE TABLE IF NOT EXISTS factlib.relay_slots (slot text PRIMARY KEY, system_id numeric NOT NULL, timeline integer NOT NULL, confirmed_lsn pg_lsn NOT NULL, remembered_at timestamptz NOT NULL DEFAULT now())',
]

/** The row of one slot. Throws the driver's error where the role may not have such a table. */
export class SlotMemory {
  readonly #client: QueryClient
  readonly #slot: string

  constructor(client: QueryClient, slot: string) {
    this.#client = client
    this.#slot = slot
  }

  /** Makes the table where there is none, and reads the row. */
  async read(): Promise<RememberedSlot | undefined> {
    const [exists] = (
      await this.#client.query(
        "SELECT t IS NOT NULL AS there, has_table_privilege(t, 'INSERT') AND has_table_privilege(t, 'UPDATE') AS writable FROM to_regclass('factlib.relay_slots') t",
      )
    ).rows
    if (!exists?.['there']) {
      for (const statement of SLOT_MEMORY_DDL) await this.#client.query(statement)
      return undefined
    }
    // What is not kept up any more would be taken for a gap.
    if (!exists['writable'])
      throw Object.assign(new Error('no right to INSERT and UPDATE factlib.relay_slots'), { code: '42501' })
    const [row] = (
      await this.#client.query(
        'SELECT system_id::text, timeline, confirmed_lsn::text FROM factlib.relay_slots WHERE slot = $1',
        [this.#slot],
      )
    ).rows as { system_id: string; timeline: number; confirmed_lsn: string }[]
    if (!row) return undefined
    return {
      systemId: BigInt(row.system_id),
      timeline: row.timeline,
      confirmedLsn: parseLsn(row.confirmed_lsn),
    }
  }

  /**
   * Writes the row. On the same cluster and timeline a position never goes back: of two relays that change places the one
   * that was ahead is right. `force` overwrites: a gap was accepted.
   */
  async write(remembered: RememberedSlot & { readonly confirmedLsn: Lsn }, force = false): Promise<void> {
    await this.#client.query(
      `INSERT INTO factlib.relay_slots (slot, system_id, timeline, confirmed_lsn) VALUES ($1, $2::numeric, $3, $4::pg_lsn)
       ON CONFLICT (slot) DO UPDATE SET system_id = excluded.system_id, timeline = excluded.timeline,
         confirmed_lsn = CASE WHEN NOT $5 AND relay_slots.system_id = excluded.system_id
           AND relay_slots.timeline = excluded.timeline
           THEN greatest(relay_slots.confirmed_lsn, excluded.confirmed_lsn) ELSE excluded.confirmed_lsn END,
         remembered_at = now()`,
      [this.#slot, String(remembered.systemId), remembered.timeline, formatLsn(remembered.confirmedLsn), force],
    )
  }
}

/**
 * Reads a timeline history file (the answer of `TIMELINE_HISTORY n`): lines of `timeline \t switch LSN \t reason`.
 *
 * @example parseTimelineHistory('1\t0/3000000\tno recovery target specified\n') // Map { 1 => 0x3000000n }
 */
export function parseTimelineHistory(content: string): Map<number, Lsn> {
  const history = new Map<number, Lsn>()
  for (const line of content.split('\n')) {
    const [timeline, switchLsn] = line.trim().split(/\s+/)
    if (timeline && switchLsn && /^\d+$/.test(timeline)) history.set(Number(timeline), parseLsn(switchLsn))
  }
  return history
}
