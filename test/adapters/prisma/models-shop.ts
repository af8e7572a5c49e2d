import type { PrismaClient } from '../../../prisma/generated-client/client.ts'
import { waitFor } from '../../support/wait.ts'
import { createShop, openPrisma, type Shop } from './prisma-under-test.ts'

/** A shop, the client without extensions, and the moment when one of its statements waits for a lock. */
export interface ModelsShop extends Shop {
  readonly base: PrismaClient
  whenBlocked(): Promise<void>
}

export async function openModelsShop(
  open: (shop: Shop, options?: object) => PrismaClient = (shop, options) => openPrisma(shop, undefined, options),
  options?: object,
): Promise<ModelsShop> {
  const shop = await createShop()
  return {
    ...shop,
    base: open(shop, options),
    whenBlocked: async () => {
      await waitFor(
        async () => {
          const rows = await shop.database.query(
            `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
          )
          return rows.length > 0
        },
        { what: 'a statement to wait for a lock', timeoutMs: 10_000 },
      )
    },
  }
}
