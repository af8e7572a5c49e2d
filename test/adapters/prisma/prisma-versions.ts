import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { PrismaClient } from '../../../prisma/generated-client/client.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { installFixture } from '../../support/fixtures.ts'
import type { Shop } from './prisma-under-test.ts'

const run = promisify(execFile)

/** The oldest supported Prisma and the first of the newest major, beside the one of the package: test/fixtures. */
export const PRISMA_FIXTURES = { 'prisma-6': '6.19.3', 'prisma-7.0': '7.0.1' } as const
export type PrismaFixture = keyof typeof PRISMA_FIXTURES

/** Installs this Prisma with the client of prisma/schema.prisma, once; resolves to its folder. */
export async function installPrisma(fixture: PrismaFixture): Promise<string> {
  const read = (path: string) => readFile(new URL(`../../../${path}`, import.meta.url), 'utf8')
  const models = (await read('prisma/schema.prisma')).replace(/^(generator|datasource) \w+ \{[^}]*\}\n/gm, '')
  const schema = `${await read(`test/fixtures/${fixture}/head.prisma`)}\n${models}`
  return installFixture(fixture, {
    key: schema,
    prepare: async (folder) => {
      await writeFile(join(folder, 'schema.prisma'), schema)
      // Generating needs no schema engine, and its download fails in a closed network.
      const env = {
        PRISMA_SCHEMA_ENGINE_BINARY: '/bin/false',
        PRISMA_HIDE_UPDATE_MESSAGE: '1',
        CHECKPOINT_DISABLE: '1',
      }
      const args = ['node_modules/prisma/build/index.js', 'generate', '--schema', 'schema.prisma']
      const options = { cwd: folder, env: { ...process.env, ...env, DATABASE_URL: 'postgresql://unused' } }
      await run(process.execPath, args, options).catch((cause: unknown) => {
        const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string }
        throw new Error(`${fixture}: prisma generate failed: ${stdout.slice(-500)}${stderr.slice(-500)}`, { cause })
      })
    },
  })
}

interface LoadedPrisma {
  /** Its client has the methods that all versions share; the types are those of the newest. */
  readonly PrismaClient: new (
    options: object,
  ) => PrismaClient
  readonly PrismaPg: new (options: object) => object
  readonly version: string
}

async function loadPrisma(fixture: PrismaFixture): Promise<LoadedPrisma> {
  const folder = await installPrisma(fixture)
  const require = createRequire(join(folder, 'package.json'))
  const { PrismaClient } = await import(/* @vite-ignore */ pathToFileURL(join(folder, 'generated/client.ts')).href)
  const { PrismaPg } = require('@prisma/adapter-pg') as Pick<LoadedPrisma, 'PrismaPg'>
  const { version } = require('@prisma/client/package.json') as { version: string }
  if (version !== PRISMA_FIXTURES[fixture]) throw new Error(`test/fixtures/${fixture} has Prisma ${version}`)
  return { PrismaClient, PrismaPg, version }
}

/** What `openPrisma` is for the package's own Prisma. */
export async function openPrismaOf(fixture: PrismaFixture): Promise<(shop: Shop, options?: object) => PrismaClient> {
  const { PrismaClient, PrismaPg } = await loadPrisma(fixture)
  return ({ database }, options = {}) => {
    const prisma = new PrismaClient({ ...options, adapter: new PrismaPg({ connectionString: database.url, max: 8 }) })
    registerCleanup(() => prisma.$disconnect())
    return prisma
  }
}
