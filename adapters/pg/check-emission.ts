import {
  type CheckEmissionOptions,
  checkEmission as checkEmissionThrough,
  type EmissionCheck,
} from '../../src/check-emission.ts'
import type { PgQueryableLike } from './pg-like.ts'

/**
 * Whether facts that are emitted through this client or pool would be kept: for a service's start-up, before its first fact.
 *
 * @example
 * ```ts
 * const check = await checkEmission(pool, { slot: 'factlib_slot' })
 * if (!check.ok) throw new Error(check.problems.map((problem) => `${problem.message}: ${problem.remedy}`).join('\n'))
 * ```
 * @throws whatever the query throws.
 */
export async function checkEmission(
  queryable: PgQueryableLike,
  options?: CheckEmissionOptions,
): Promise<EmissionCheck> {
  return checkEmissionThrough(async (text) => (await queryable.query(text, [])).rows, options)
}
