import { access, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { decodeFact } from '../../src/envelope/decode.ts'
import { createDatabase } from '../support/database.ts'
import { ROOT } from '../support/process.ts'
import { createSlot } from '../support/slot.ts'
import {
  diskUsage,
  install,
  linkPackages,
  type PackedPackage,
  packAndInstall,
  run,
  typeCheck,
} from './packed-package.ts'

// What a user gets: the packed tarball, in projects of its own. Needs npm's registry, or its cache.

const ENTRIES = [
  'factlib',
  ...['consumer', 'drizzle', 'metrics', 'otel', 'pg', 'prisma', 'relay', 'sentry', 'sequelize'].map(
    (name) => `factlib/${name}`,
  ),
]
/** All but the relay: what a service loads that only emits, or only consumes. */
const LIGHT_ENTRIES = ENTRIES.filter((entry) => entry !== 'factlib/relay')
const SLOW = 60_000
const MEGABYTE = 1_000_000
const INSTALLED_LIMIT_MB = 17

let packed: PackedPackage
let installedBytes: number
beforeAll(async () => {
  packed = await packAndInstall()
  installedBytes = await diskUsage(join(packed.project, 'node_modules'))
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
    // The page of the relay's console; the chart library and Hono in it ask for their licences.
    const page = files.filter((file) => file.startsWith('package/dist/console/'))
    expect(page.sort()).toEqual(
      ['app.js', 'icon.svg', 'index.html', 'style.css', 'third-party.LICENSE'].map(
        (name) => `package/dist/console/${name}`,
      ),
    )
    const others = files.filter((file) => !page.includes(file))
    expect(others.filter((file) => !/\.(c?js|d\.c?ts|proto|md|json)$|LICENSE$/.test(file))).toEqual([])
    const cli = await readFile(join(packed.project, 'node_modules/factlib/dist/cli.js'), 'utf8')
    expect(cli.split('\n')[0]).toBe('#!/usr/bin/env node')
  })

  it('is as large as the README says, with all that it depends on', async () => {
    const [, said] = /(\d+) MB installed/.exec(await readFile(join(ROOT, 'README.md'), 'utf8')) ?? []
    const megabytes = installedBytes / MEGABYTE
    expect(Math.abs(megabytes - Number(said)), `${megabytes} MB, the README says ${said}`).toBeLessThan(1)
    expect(megabytes).toBeLessThan(INSTALLED_LIMIT_MB)
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

/** The files of ours that speak the replication protocol. */
async function whatIsOfTheRelay(urls: readonly string[]): Promise<string[]> {
  const ours = [...new Set(urls)].filter((url) => url.includes('/node_modules/factlib/dist/'))
  const sources = await Promise.all(ours.map((url) => readFile(new URL(url), 'utf8')))
  return ours.filter((_, index) => sources[index]?.includes('START_REPLICATION'))
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
        expect(await whatIsOfTheRelay(urls), system).toEqual([])
      }
    },
  )

  it('the relay does load them, so that the test above sees them', { timeout: SLOW }, async () => {
    for (const system of ['esm', 'cjs'] as const) {
      const { urls } = await load('factlib/relay', system)
      expect(packagesOf(urls)).toEqual(expect.arrayContaining(['pg', 'kafkajs', 'pg-logical-replication']))
      expect(await whatIsOfTheRelay(urls)).not.toEqual([])
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

describe('the README', () => {
  it('has code that compiles against the package, block by block', { timeout: SLOW }, async () => {
    const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
    const blocks = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code ?? '')
    expect(blocks.length).toBeGreaterThan(5)
    const folder = join(packed.project, 'readme')
    await mkdir(folder)
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
    const names = ['@prisma/adapter-pg', '@prisma/client', '@sentry/node', '@types/pg', 'sequelize']
    await linkPackages(folder, Object.fromEntries(names.map((name) => [name, join(ROOT, 'node_modules', name)])))
    await mkdir(join(folder, 'generated'))
    await symlink(join(ROOT, 'prisma/generated-client'), join(folder, 'generated/prisma'))
    const files = blocks.map((_, index) => `block-${index + 1}.ts`)
    for (const [index, code] of blocks.entries()) await writeFile(join(folder, files[index] ?? ''), code)
    const options = { module: 'nodenext', moduleResolution: 'nodenext', moduleDetection: 'force' }
    const generated = { allowImportingTsExtensions: true, skipLibCheck: true }
    expect(await typeCheck(folder, files, { ...options, ...generated })).toBe('')
  })

  it('links to files and headings that are there', { timeout: SLOW }, async () => {
    const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, path]) => path ?? '')
    expect(links.length).toBeGreaterThan(5)
    for (const path of links) await expect(access(join(ROOT, path)), path).resolves.toBeUndefined()
    const anchors = [...readme.matchAll(/\]\(#([^)]+)\)/g)].map(([, name]) => name)
    const headings = [...readme.matchAll(/^#+ (.+)$/gm)].map(([, text]) => text?.toLowerCase().replaceAll(' ', '-'))
    expect(anchors.filter((name) => !headings.includes(name))).toEqual([])
  })
})
