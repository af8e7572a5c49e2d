import { describeBrokenPrisma } from './prisma-broken.ts'
import { describePrismaSafety } from './prisma-safety.ts'
import { openPrisma } from './prisma-under-test.ts'

describePrismaSafety('7.10', async () => openPrisma, { nested: true })
describeBrokenPrisma('7.10', async () => openPrisma)
