import {
  type CheckEmissionOptions,
  checkEmission as checkEmissionThrough,
  type EmissionCheck,
} from '../../src/check-emission.ts'
import { type DrizzleExecutorLike, rowsOf } from './drizzle-like.ts'

/**
 * Whether facts that are emitted through this database would be kept: for a service's start-up, before its first fact.
 *
 * @param db `db` or a transaction
 * @example
 * ```ts
 * const check = await checkEmission(db, { slot: 'factlib_slot' })
 * if (!check.ok) throw new Error(check.problems.map((problem) => `${problem.message}: ${problem.remedy}`).join('\n'))
 * ```
 * @throws whatever the query throws.
 */
export async function checkEmission(db: DrizzleExecutorLike, options?: CheckEmissionOptions): Promise<EmissionCheck> {
  return checkEmissionThrough(async (text) => rowsOf(await db.execute(text)), options)
}
