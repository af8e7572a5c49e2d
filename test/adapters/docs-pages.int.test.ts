/** The code of the pages for users is compiled and run, each page as one program. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { decodeFact } from '../../src/envelope/decode.ts'
import { registerCleanup } from '../support/cleanup.ts'
import { createDatabase } from '../support/database.ts'
import { createSlot } from '../support/slot.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const run = promisify(execFile)

const pages = {
  sequelize: {
    prints: ['[]', 'FACTLIB_UNSEEN_WRITE'],
    emits: [
      'order.created o-1',
      'order.paid o-1',
      'shopper.visited ada',
      'order.cancelled o-1',
      'order.deleted o-1',
      'order.restored o-1',
    ],
  },
  drizzle: {
    prints: ['[]', 'an order costs something', 'FACTLIB_NOT_IN_TRANSACTION'],
    emits: ['order.placed o-1', 'order.placed o-2', 'order.placed o-3'],
  },
  pg: { prints: ['an order costs something', 'FACTLIB_NOT_IN_TRANSACTION'], emits: ['order.placed o-1'] },
  executor: { prints: [], emits: ['order.placed o-1'] },
}

/** Its code blocks, each in the file that its first line names, on the sources of this tree. */
async function writePage(name: string, slot: string): Promise<{ folder: string; files: string[] }> {
  const page = await readFile(join(root, `docs/${name}.md`), 'utf8')
  const folder = await mkdtemp(join(tmpdir(), `factlib-docs-${name}-`))
  registerCleanup(() => rm(folder, { recursive: true }))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const files: string[] = []
  for (const [, code = ''] of page.matchAll(/^```ts\n(.*?)^```$/gms)) {
    const file = /^\/\/ (\S+\.ts)\n/.exec(code)?.[1]
    expect(file, 'a block of code begins with the name of its file').toBeDefined()
    const here = code
      .replaceAll(/'factlib\/(\w+)'/g, `'${root}adapters/$1/index.ts'`)
      .replaceAll("'factlib'", `'${root}src/index.ts'`)
      .replaceAll("'factlib_slot'", `'${slot}'`)
    await writeFile(join(folder, file!), here)
    files.push(file!)
  }
  return { folder, files }
}

it.each(Object.entries(pages))(
  'docs/%s.md compiles, runs, and emits what it says',
  async (name, page) => {
    const database = await createDatabase()
    const slot = await createSlot(database)
    const { folder, files } = await writePage(name, slot.name)
    const { compilerOptions } = JSON.parse(await readFile(join(root, 'tsconfig.json'), 'utf8'))
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
    const compiled = run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder])
    expect((await compiled.catch((error: { stdout: string }) => error)).stdout).toBe('')

    const env = { ...process.env, DATABASE_URL: database.url }
    const args = ['--import', join(root, 'node_modules/tsx/dist/loader.mjs'), 'main.ts']
    const { stdout } = await run(process.execPath, args, { cwd: folder, env })
    expect(stdout.split('\n').filter((line) => line !== '')).toEqual(page.prints)
    const facts = (await slot.read()).map(({ prefix, content }) => {
      const { eventType, aggregateId } = decodeFact(content)
      return `${prefix} ${eventType} ${aggregateId}`
    })
    expect(facts).toEqual(page.emits.map((fact) => `shop ${fact}`))
  },
  240_000,
)
