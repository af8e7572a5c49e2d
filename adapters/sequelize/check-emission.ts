import {
  type CheckEmissionOptions,
  checkEmission as checkEmissionThrough,
  type EmissionCheck,
} from '../../src/check-emission.ts'
import type { SequelizeLike, SequelizeTransactionLike } from './sequelize-like.ts'

/** What to look for, and where. */
export interface SequelizeCheckEmissionOptions extends CheckEmissionOptions {
  /** Default: a connection of its own, or the current transaction of `Sequelize.useCLS`. */
  readonly transaction?: SequelizeTransactionLike | null | undefined
}

/**
 * Whether facts that are emitted through this instance would be kept: for a service's start-up, before its first fact.
 * It asks the server that takes the writes, not a read replica.
 *
 * @example
 * ```ts
 * const check = await checkEmission(sequelize, { slot: 'factlib_slot' })
 * if (!check.ok) throw new Error(check.problems.map((problem) => `${problem.message}: ${problem.remedy}`).join('\n'))
 * ```
 * @throws whatever the query throws.
 */
export async function checkEmission(
  sequelize: SequelizeLike,
  options: SequelizeCheckEmissionOptions = {},
): Promise<EmissionCheck> {
  const { transaction, ...lookFor } = options
  const queryOptions = { type: 'SELECT', plain: false, useMaster: true, transaction }
  return checkEmissionThrough(
    async (text) => (await sequelize.query(text, { ...queryOptions })) as Record<string, unknown>[],
    lookFor,
  )
}
