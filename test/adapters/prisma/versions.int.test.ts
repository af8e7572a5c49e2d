import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { describeModels } from './models-contract.ts'
import { openModelsShop } from './models-shop.ts'
import { describePrismaSafety } from './prisma-safety.ts'
import { installPrisma, openPrismaOf, PRISMA_FIXTURES, type PrismaFixture } from './prisma-versions.ts'

for (const fixture of Object.keys(PRISMA_FIXTURES) as PrismaFixture[]) {
  const version = PRISMA_FIXTURES[fixture]
  describeModels(version, async (options) => openModelsShop(await openPrismaOf(fixture), options))
  describePrismaSafety(version, () => openPrismaOf(fixture))
  describe(`types: ${version}`, () => {
    it('the type test holds against its client', { timeout: 180_000 }, async () => {
      const errors = await compileTypeTest(await installPrisma(fixture), (text) => text)
      expect(errors).toBe('')
    })
    it('and can fail', { timeout: 180_000 }, async () => {
      const errors = await compileTypeTest(await installPrisma(fixture), (text) =>
        text.replace('// @ts-expect-error: a relation is not part of the row', ''),
      )
      expect(errors).toContain("Property 'customer' does not exist")
    })
  })
}

/** Compiles types.test-d.ts of this folder, as `change` leaves it, against the client of another version. */
async function compileTypeTest(installation: string, change: (text: string) => string): Promise<string> {
  const root = fileURLToPath(new URL('../../../', import.meta.url))
  const folder = await mkdtemp(join(installation, 'types-'))
  try {
    const test = await readFile(join(root, 'test/adapters/prisma/types.test-d.ts'), 'utf8')
    const moved = change(test)
      .replaceAll("'../../../prisma/generated-client/client.ts'", "'../generated/client.ts'")
      .replaceAll("'../../../", `'${root}`)
    await writeFile(join(folder, 'types.test-d.ts'), moved)
    const { compilerOptions } = JSON.parse(await readFile(join(root, 'tsconfig.json'), 'utf8'))
    const typeRoots = [join(root, 'node_modules/@types')]
    const config = { compilerOptions: { ...compilerOptions, typeRoots }, files: ['types.test-d.ts'] }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch(
      (error: { stdout?: string }) => ({ stdout: error.stdout ?? String(error) }),
    )
    return stdout
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
