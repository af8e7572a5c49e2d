/** Compiled, never run: the real pg satisfies the structural types, and what must not compile does not. */
import type pg from 'pg'
import { checkEmission, emitFact } from '../../../adapters/pg/index.ts'

declare const pool: pg.Pool
declare const poolClient: pg.PoolClient
declare const client: pg.Client
declare const fact: { aggregateType: string; aggregateId: string; eventType: string }

export async function compiled(): Promise<void> {
  const id: string = await emitFact(client, fact)
  const ids: string[] = await emitFact(poolClient, [fact], { prefix: 'shop' })
  await checkEmission(pool, { slot: 'factlib_slot' })
  await checkEmission(client)
  void [id, ids]

  // @ts-expect-error a pool is no connection
  await emitFact(pool, fact)
  // @ts-expect-error aggregateId is missing
  await emitFact(client, { aggregateType: 'order', eventType: 'order.created' })
}
