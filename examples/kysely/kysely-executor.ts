import { CompiledQuery, type Transaction } from 'kysely'
// In your project: from 'factlib'
import { type Emittable, emitWith, guardedExecutor, NotInTransactionError } from '../../src/index.ts'

const REFUSAL = 'the fact was not written: emitFact(trx, fact) inside db.transaction().execute(async (trx) => …)'

/** Emits into a transaction of Kysely; this is all that an adapter is. */
export async function emitFact<Db>(trx: Transaction<Db>, fact: Emittable): Promise<string> {
  if (!trx.isTransaction) throw new NotInTransactionError(REFUSAL)
  return emitWith(executorOf(trx), fact)
}

export function executorOf<Db>(trx: Transaction<Db>) {
  return guardedExecutor({
    // This object is of one transaction, so that it is refused when its connection serves the next one.
    owner: trx,
    ownerIsTransaction: true,
    refusal: REFUSAL,
    query: async ({ text, values }) => {
      const { rows } = await trx.executeQuery<Record<string, unknown>>(CompiledQuery.raw(text, [...values]))
      return rows
    },
  })
}
