import { describeModels } from './models-contract.ts'
import { openModelsShop } from './models-shop.ts'
import { openPrismaOf, PRISMA_FIXTURES, type PrismaFixture } from './prisma-versions.ts'

for (const fixture of Object.keys(PRISMA_FIXTURES) as PrismaFixture[]) {
  describeModels(`Prisma ${PRISMA_FIXTURES[fixture]}`, async () => openModelsShop(await openPrismaOf(fixture)))
}
