import { type CheckEmissionOptions, checkEmission as check, type EmissionCheck } from '../../src/check-emission.ts'
import { rootClient } from './transaction-client.ts'
import type { PrismaQueryLike, UnknownClient } from './types.ts'

/**
 * Whether facts that are emitted through this client would reach a relay; for a service's start-up. It only reads, on
 * the connections that facts go out on (an extension that sends reads to replicas is passed by).
 *
 * @example
 * ```ts
 * const { ok, problems } = await checkEmission(prisma, { slot: 'factlib_slot' })
 * if (!ok) throw new Error(problems.map(({ message, remedy }) => `${message}: ${remedy}`).join('\n'))
 * ```
 * @throws Prisma's own errors, when the database cannot be asked.
 */
export function checkEmission(client: PrismaQueryLike, options?: CheckEmissionOptions): Promise<EmissionCheck> {
  const isClient = typeof (client as UnknownClient).$connect === 'function'
  const asked = (isClient ? rootClient(client as UnknownClient) : client) as PrismaQueryLike
  type Rows = readonly { readonly [column: string]: unknown }[]
  return check(async (text) => (await asked.$queryRawUnsafe(text)) as Rows, options)
}
