import { describeModels } from './models-contract.ts'
import { openModelsShop } from './models-shop.ts'

describeModels('7.10', (options) => openModelsShop(undefined, options))
