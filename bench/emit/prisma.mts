// What emitting a fact costs with Prisma, against Prisma's own insert into an outbox table.
//   npx tsx bench/emit/prisma.mts [--write]
import { createRequire } from 'node:module'
import { PrismaPg } from '@prisma/adapter-pg'
import { factlib } from '../../adapters/prisma/index.ts'
import { PrismaClient } from '../../prisma/generated-client/client.ts'
import { benchEmit } from './harness.mts'

const TRANSACTIONS = 50
const { version } = createRequire(import.meta.url)('@prisma/client/package.json') as { version: string }

await benchEmit(async (url, measure) => {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) }).$extends(
    factlib({ prefix: 'bench' }),
  )
  for (let i = 0; i < TRANSACTIONS; i++) {
    await prisma.$transaction(
      (tx) =>
        measure({
          name: `Prisma ${version}`,
          emitOne: (fact) => tx.$emitFact(fact),
          insertOne: (row) => tx.outbox.create({ data: row }),
          emitTen: (facts) => tx.$emitFact(facts),
        }),
      { timeout: 60_000 },
    )
  }
  await prisma.$disconnect()
})
