import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { decodeFact } from '../../src/envelope/decode.ts'
import { createDatabase } from '../support/database.ts'
import { ROOT } from '../support/process.ts'
import { createSlot } from '../support/slot.ts'
import { install, type PackedPackage, packAndInstall, run, sizeOf, typeCheck } from './packed-package.ts'

// What a user gets: the packed tarball, in projects of its own. Needs npm's registry, or its cache.

const ENTRIES = [
  'factlib',
  ...['consumer', 'drizzle', 'prisma', 'relay', 'sentry', 'sequelize'].map((name) => `factlib/${name}`),
]
/** All but the relay: what a service loads that only emits, or only consumes. */
const LIGHT_ENTRIES = ENTRIES.filter((entry) => entry !== 'factlib/relay')
const SLOW = 60_000
const MEGABYTE = 1_000_000
/** The README says 15 MB. */
const INSTALLED_SIZE_LIMIT = 16 * MEGABYTE

let packed: PackedPackage
let installedBytes: number
beforeAll(async () => {
  packed = await packAndInstall()
  installedBytes = await sizeOf(join(packed.project, 'node_modules'))
  // The one peer of the programs.
  const { devDependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  await install(packed.project, [`drizzle-orm@${devDependencies['drizzle-orm']}`])
}, 240_000)

describe('the tarball', () => {
  it('has what publint and arethetypeswrong want of a package', { timeout: SLOW }, async () => {
    const tool = (path: string, ...args: string[]) =>
      run(process.execPath, [join(ROOT, 'node_modules', path), ...args], ROOT)
    await tool('publint/src/cli.js', 'run', packed.tarball, '--strict')
    // All of resolution's kinds, node10's too; the .proto file is no module.
    const noModule = ['--exclude-entrypoints', './proto/outbox.proto']
    await tool('@arethetypeswrong/cli/dist/index.js', packed.tarball, '--no-emoji', ...noModule)
  })

  it('has the built files, the contract and the documents, and no sources', { timeout: SLOW }, async () => {
    const { stdout } = await run('tar', ['-tzf', packed.tarball], packed.folder)
    const files = stdout.trim().split('\n')
    const outside = files.filter((file) => !file.startsWith('package/dist/'))
    expect(outside.sort()).toEqual(
      ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', 'proto/outbox.proto'].map((name) => `package/${name}`),
    )
    expect(files.filter((file) => !/\.(c?js|d\.c?ts|proto|md|json)$|LICENSE$/.test(file))).toEqual([])
    const cli = await readFile(join(packed.project, 'node_modules/factlib/dist/cli.js'), 'utf8')
    expect(cli.split('\n')[0]).toBe('#!/usr/bin/env node')
  })

  it('is no more than the README says, with all that it depends on', () => {
    expect(installedBytes / MEGABYTE).toBeGreaterThan(1)
    expect(installedBytes / MEGABYTE).toBeLessThan(INSTALLED_SIZE_LIMIT / MEGABYTE)
  })

  it('brings the command factlib-relay', { timeout: SLOW }, async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    const { stdout } = await run('npx', ['--no-install', 'factlib-relay', '--version'], packed.project)
    expect(stdout).toBe(`${version}\n`)
  })
})

/** Loads an entry in a process of its own: its exported names, and every module that came with it. */
async function load(entry: string, system: 'esm' | 'cjs') {
  const LOADED = join(packed.project, `${system}-${entry.replace('/', '-')}.txt`)
  const hook = ['--import', './record-loads.mjs']
  const program = system === 'esm' ? [...hook, 'load.mjs', entry] : ['load.cjs', entry]
  const { stdout } = await run(process.execPath, program, packed[system], { LOADED })
  const urls = (await readFile(LOADED, 'utf8')).trim().split('\n')
  return { names: stdout.trim().split(','), urls }
}

function packagesOf(urls: readonly string[]): string[] {
  const names = urls.map((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1])
  return [...new Set(names.filter((name) => name !== undefined))].sort()
}

describe('its entries', () => {
  it('export these names, the same to ES modules and CommonJS', { timeout: SLOW }, async () => {
    const lines: string[] = []
    for (const entry of ENTRIES) {
      const [esm, cjs] = [await load(entry, 'esm'), await load(entry, 'cjs')]
      expect(cjs.names, entry).toEqual(esm.names)
      lines.push(`${entry}\n${esm.names.map((name) => `  ${name}\n`).join('')}`)
    }
    await expect(lines.join('\n')).toMatchFileSnapshot('./exported-names.txt')
  })

  it.each(LIGHT_ENTRIES)(
    '%s loads no pg, no Kafka client, no ORM and nothing of the relay',
    { timeout: SLOW },
    async (entry) => {
      for (const system of ['esm', 'cjs'] as const) {
        const { urls } = await load(entry, system)
        expect(urls.some((url) => url.includes('/node_modules/factlib/dist/'))).toBe(true)
        const packages = packagesOf(urls).filter((name) => name !== 'factlib')
        expect(
          packages.filter((name) => name !== '@bufbuild/protobuf'),
          system,
        ).toEqual([])
        // The relay's code is the only one that asks for these.
        const ours = urls.filter((url) => url.includes('/node_modules/factlib/'))
        const sources = await Promise.all(ours.map((url) => readFile(new URL(url), 'utf8')))
        expect(
          sources.filter((source) => /START_REPLICATION|pg_replication_slots WHERE slot_name/.test(source)),
        ).toEqual([])
      }
    },
  )

  it('the relay does load them, so that the test above sees them', { timeout: SLOW }, async () => {
    for (const system of ['esm', 'cjs'] as const) {
      const { urls } = await load('factlib/relay', system)
      expect(packagesOf(urls)).toEqual(expect.arrayContaining(['pg', 'kafkajs', 'pg-logical-replication']))
    }
  })
})

describe.each(['esm', 'cjs'] as const)('a service on %s', (system) => {
  it('emits what commits, and nothing else', { timeout: SLOW }, async () => {
    const database = await createDatabase()
    const slot = await createSlot(database)
    const program = system === 'esm' ? 'emit.mjs' : 'emit.cjs'
    const { stdout } = await run(process.execPath, [program], packed[system], { DATABASE_URL: database.url })
    const facts = (await slot.read()).map(({ prefix, content }) => ({ prefix, fact: decodeFact(content) }))
    expect(facts.map(({ prefix, fact }) => [prefix, fact.json()])).toEqual([[system, { from: system }]])
    expect(stdout.split('\n')).toEqual([facts[0]?.fact.id, 'rolled back', 'true FACTLIB_NOT_IN_TRANSACTION', ''])
  })

  it.each([
    { module: 'node16', moduleResolution: 'node16' },
    { module: 'nodenext', moduleResolution: 'nodenext' },
    { module: 'preserve', moduleResolution: 'bundler' },
    ...(system === 'cjs' ? [{ module: 'commonjs', moduleResolution: 'node10' }] : []),
  ])('type-checks with $moduleResolution, the library too', { timeout: SLOW }, async (options) => {
    expect(await typeCheck(packed[system], ['consumer.ts'], { ...options, skipLibCheck: false })).toBe('')
  })
})

it('an ESM and a CJS copy in one process share configuration, errors and facts', { timeout: SLOW }, async () => {
  const database = await createDatabase()
  const slot = await createSlot(database)
  const { stdout } = await run(process.execPath, ['mixed.mjs'], packed.esm, { DATABASE_URL: database.url })
  const messages = await slot.read()
  expect(messages.map(({ prefix }) => prefix)).toEqual(['mixed', 'mixed'])
  expect(messages.map(({ content }) => Buffer.from(content).toString('hex')).join()).toBe(stdout.trim())
})
