import type { TestDatabase } from '../support/database.ts'
import { createSlot } from '../support/slot.ts'
import type { SafetyEvidence } from './transaction-safety.ts'

/**
 * The contract's table and a slot in this database, and what they say.
 *
 * `customers` has an id and `xact_id`, the transaction that wrote the row; a table of that name that is there already is used as it is.
 */
export async function createSafetyEvidence(database: TestDatabase): Promise<SafetyEvidence> {
  await database.query(
    'CREATE TABLE IF NOT EXISTS customers (id text PRIMARY KEY, xact_id xid8 NOT NULL DEFAULT pg_current_xact_id())',
  )
  const slot = await createSlot(database)
  return {
    async rowTransaction(id) {
      const [row] = await database.query<{ xact: string }>(
        'SELECT xact_id::text AS xact FROM customers WHERE id = $1',
        [id],
      )
      return row && BigInt(row.xact)
    },
    async messages() {
      return (await slot.read()).map(({ xid, prefix, content }) => ({ xid: Number(xid), prefix, content }))
    },
  }
}
