/** Compiled, never run: the real Drizzle satisfies the structural types, and what must not compile does not. */

import type { NeonDatabase } from 'drizzle-orm/neon-serverless'
import { drizzle as drizzleNodePostgres } from 'drizzle-orm/node-postgres'
import { integer, pgTable, withReplicas } from 'drizzle-orm/pg-core'
import type { PgliteDatabase } from 'drizzle-orm/pglite'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import { checkEmission, emitFact, guardTransactions } from '../../../adapters/drizzle/index.ts'

declare const fact: { aggregateType: string; aggregateId: string; eventType: string }
declare const pglite: PgliteDatabase
declare const neon: NeonDatabase

export async function compiled(): Promise<void> {
  const schema = { orders: pgTable('orders', { id: integer() }) }
  const nodePostgres = guardTransactions(drizzleNodePostgres('postgres://localhost', { schema }))
  const postgresJs = guardTransactions(drizzlePostgresJs('postgres://localhost'))
  const replicated = withReplicas(nodePostgres, [nodePostgres])

  await nodePostgres.transaction(async (tx) => {
    const id: string = await emitFact(tx, fact)
    const ids: string[] = await emitFact(tx, [fact], { prefix: 'shop' })
    await tx.query.orders.findFirst()
    await tx.transaction(async (nested) => void (await emitFact(nested, fact)))
    await checkEmission(tx)
    void [id, ids]
  })
  await postgresJs.transaction(async (tx) => void (await emitFact(tx, fact)))
  await neon.transaction(async (tx) => void (await emitFact(tx, fact)))
  await pglite.transaction(async (tx) => void (await emitFact(tx, fact)))
  await replicated.transaction(async (tx) => void (await emitFact(tx, fact)))
  await checkEmission(postgresJs, { slot: 'factlib_slot' })

  // @ts-expect-error db is not a transaction
  await emitFact(nodePostgres, fact)
  // @ts-expect-error db is not a transaction
  await emitFact(postgresJs, fact)
  // @ts-expect-error db is not a transaction
  await emitFact(pglite, fact)
  // @ts-expect-error db is not a transaction
  await emitFact(neon, fact)
  // @ts-expect-error neither is db with replicas
  await emitFact(replicated, fact)
  // @ts-expect-error nor the driver's client
  await emitFact(postgresJs.$client, fact)
}
