import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { decodeFact } from '../../../src/envelope/decode.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createShop } from './prisma-under-test.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const run = promisify(execFile)

/** The page's code blocks, each in the file that its first line names, on the sources of this tree. */
async function writePage(): Promise<{ folder: string; files: string[] }> {
  const page = await readFile(join(root, 'docs/prisma.md'), 'utf8')
  const folder = await mkdtemp(join(tmpdir(), 'factlib-docs-prisma-'))
  registerCleanup(() => rm(folder, { recursive: true }))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const files: string[] = []
  for (const [, code = ''] of page.matchAll(/^```ts\n(.*?)^```$/gms)) {
    const name = /^\/\/ (\S+\.ts)\n/.exec(code)?.[1] ?? ''
    const here = code
      .replaceAll("'factlib/prisma'", `'${root}adapters/prisma/index.ts'`)
      .replaceAll("'./generated/prisma/client.ts'", `'${root}prisma/generated-client/client.ts'`)
    await writeFile(join(folder, name), here)
    files.push(name)
  }
  return { folder, files }
}

it('docs/prisma.md compiles, runs, and emits what it says', { timeout: 240_000 }, async () => {
  const { database, evidence } = await createShop()
  const { folder, files } = await writePage()
  expect(files).toEqual(['prisma.ts', 'orders.ts', 'visits.ts', 'main.ts'])
  const { compilerOptions } = JSON.parse(await readFile(join(root, 'tsconfig.json'), 'utf8'))
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
  const compiled = run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder])
  expect((await compiled.catch((error: { stdout: string }) => error)).stdout).toBe('')

  const env = { ...process.env, DATABASE_URL: database.url }
  const args = ['--import', join(root, 'node_modules/tsx/dist/loader.mjs'), 'main.ts']
  const { stdout } = await run(process.execPath, args, { cwd: folder, env })
  expect(stdout).toContain('FACTLIB_UNSEEN_WRITE')
  const facts = (await evidence.messages()).map(({ prefix, content }) => {
    const { eventType, aggregateId } = decodeFact(content)
    return `${prefix} ${eventType} ${aggregateId}`
  })
  expect(facts).toEqual([
    'shop order.created o-1',
    'shop order.paid o-1',
    'shop customer.visited ada',
    'shop customer.visited ada',
    'shop customer.visited ada',
    'shop customer.visited ada',
    'shop order.cancelled o-1',
    'shop order.deleted o-1',
  ])
})
