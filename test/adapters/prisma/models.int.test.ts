import { describeModels } from './models-contract.ts'
import { openModelsShop } from './models-shop.ts'

describeModels('newest Prisma', () => openModelsShop())
