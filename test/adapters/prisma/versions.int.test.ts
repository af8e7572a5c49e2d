import { describeModels } from './models-contract.ts'
import { openModelsShop } from './models-shop.ts'
import { describePrismaSafety } from './prisma-safety.ts'
import { openPrismaOf, PRISMA_FIXTURES, type PrismaFixture } from './prisma-versions.ts'

for (const fixture of Object.keys(PRISMA_FIXTURES) as PrismaFixture[]) {
  const version = PRISMA_FIXTURES[fixture]
  describeModels(version, async (options) => openModelsShop(await openPrismaOf(fixture), options))
  describePrismaSafety(version, () => openPrismaOf(fixture))
}
