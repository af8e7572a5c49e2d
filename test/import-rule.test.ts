import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

// Who may import whom. Types count as much as values: a type is how one room begins to know another.
//
//   adapters/<one> → src, adapters/*.ts      relay → src          src → nothing but itself
//   relay/source and relay/sink, relay/kafka do not know each other; relay.ts and cli/run.ts put them together
//   pg-logical-replication and each Kafka client: in one file; Sentry and the ORMs: in none

const root = fileURLToPath(new URL('..', import.meta.url))

/** A file's path → what it imports: paths of files, or names of packages. */
type Graph = ReadonlyMap<string, readonly string[]>

const PACKAGES_OF_SRC = ['@bufbuild/protobuf']
const IN_ONE_FILE = ['pg-logical-replication', 'kafkajs', '@platformatic/kafka']
const NOWHERE = [/^@sentry\//, /^@?prisma(\/|$)/, /^drizzle-orm/, /^@?sequelize(\/|$)/, /^postgres$/]
const COMPOSE = ['relay/relay.ts', 'relay/cli/run.ts']
/** What a service that only emits, or only consumes, loads. */
const LIGHT_ENTRIES = [
  'src/index.ts',
  'src/trace/sentry.ts',
  'src/trace/otel.ts',
  'src/metrics/index.ts',
  'src/consumer/index.ts',
  'adapters/prisma/index.ts',
  'adapters/drizzle/index.ts',
  'adapters/sequelize/index.ts',
  'adapters/pg/index.ts',
]

function readGraph(): Graph {
  const graph = new Map<string, string[]>()
  const files = ['src', 'adapters', 'relay'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  )
  for (const path of files.filter((file) => /\.[mc]?tsx?$/.test(file))) {
    const { importedFiles } = ts.preProcessFile(readFileSync(join(root, path), 'utf8'), true, true)
    const names = importedFiles.map(({ fileName }) => fileName)
    graph.set(
      path,
      names.map((name) => (name.startsWith('.') ? withEnding(join(dirname(path), name)) : name)),
    )
  }
  return graph
}

/** The generated code leaves the ending out. */
function withEnding(path: string): string {
  return /\.\w+$/.test(path) ? path : `${path}.ts`
}

function isFile(name: string): boolean {
  return /^(src|adapters|relay|test|examples|scripts|bench|prisma)\//.test(name) || name.startsWith('..')
}

function packageOf(name: string): string | undefined {
  if (isFile(name) || name.startsWith('node:') || name.endsWith('package.json')) return undefined
  return name.split('/', name.startsWith('@') ? 2 : 1).join('/')
}

function room(path: string): string {
  return path.split('/')[0]!
}

function violations(graph: Graph): string[] {
  const found: string[] = []
  const inFiles = new Map<string, Set<string>>()
  for (const [path, imports] of graph) {
    const reach = { source: false, sink: false }
    for (const name of imports) {
      const not = (why: string) => found.push(`${path} imports ${name}: ${why}`)
      const packageName = packageOf(name)
      if (packageName !== undefined) {
        if (NOWHERE.some((pattern) => pattern.test(name))) not('no file does')
        if (IN_ONE_FILE.includes(packageName)) {
          inFiles.set(packageName, (inFiles.get(packageName) ?? new Set()).add(path))
        }
        if (room(path) === 'src' && !PACKAGES_OF_SRC.includes(packageName)) not('src has no packages but protobuf')
        if (room(path) === 'adapters') not('an adapter states the types that it needs, and has no packages')
      }
      if (!isFile(name)) continue
      const to = room(name)
      if (to !== 'src' && to !== room(path)) not(`${room(path)} knows src only`)
      if (room(path) === 'adapters' && to === 'adapters') {
        const [, from, inFolder] = path.split('/')
        const [, into, intoFolder] = name.split('/')
        if (intoFolder !== undefined && (inFolder === undefined || from !== into))
          not('an adapter does not know another')
      }
      if (name.startsWith('relay/source/')) reach.source = true
      if (/^relay\/(sink|kafka)\//.test(name)) reach.sink = true
      if (path.startsWith('relay/source/') && /^relay\/(sink|kafka)\//.test(name))
        not('the source does not know the sink')
      if (/^relay\/(sink|kafka)\//.test(path) && name.startsWith('relay/source/'))
        not('the sink does not know the source')
    }
    if (reach.source && reach.sink && !COMPOSE.includes(path)) {
      found.push(`${path} knows source and sink: only ${COMPOSE.join(' and ')} put them together`)
    }
  }
  for (const [name, files] of inFiles) {
    if (files.size > 1) found.push(`${[...files].join(' and ')} import ${name}: one file does`)
  }
  return found
}

/** All packages and files that importing `entry` loads, types included. */
function reachable(graph: Graph, entry: string): Set<string> {
  const seen = new Set<string>()
  const visit = (path: string): void => {
    for (const name of graph.get(path) ?? []) {
      if (seen.has(name)) continue
      seen.add(name)
      visit(name)
    }
  }
  visit(entry)
  return seen
}

describe('the import rule', () => {
  const graph = readGraph()

  it('reads the imports of every room', () => {
    expect(new Set([...graph.keys()].map(room))).toEqual(new Set(['src', 'adapters', 'relay']))
    expect(graph.get('src/envelope/decode.ts')).toContain('@bufbuild/protobuf')
    for (const imports of graph.values()) {
      for (const name of imports.filter((name) => /^(src|adapters|relay)\//.test(name)))
        expect([...graph.keys()]).toContain(name)
    }
  })

  it('holds', () => {
    expect(violations(graph)).toEqual([])
  })

  it.each(LIGHT_ENTRIES)('%s leads to no package but protobuf, and to nothing of the relay', (entry) => {
    expect(graph.has(entry)).toBe(true)
    const loaded = [...reachable(graph, entry)]
    expect(loaded.filter((name) => name.startsWith('relay/'))).toEqual([])
    const packages = new Set(loaded.map(packageOf).filter((name) => name !== undefined))
    expect([...packages].filter((name) => !PACKAGES_OF_SRC.includes(name))).toEqual([])
  })

  it.each<[string, string, string[]]>([
    ['src back into the relay', 'src/fact.ts', ['relay/types.ts']],
    ['src into an adapter', 'src/fact.ts', ['adapters/prisma/index.ts']],
    ['src a database client', 'src/executor.ts', ['pg']],
    ['Sentry anywhere', 'relay/relay.ts', ['@sentry/node']],
    ['an ORM in its adapter', 'adapters/drizzle/index.ts', ['drizzle-orm/pg-core']],
    ['an adapter a package', 'adapters/prisma/index.ts', ['pg']],
    ['an adapter another', 'adapters/prisma/index.ts', ['adapters/drizzle/index.ts']],
    ['what adapters share one of them', 'adapters/models.ts', ['adapters/prisma/index.ts']],
    ['the relay an adapter', 'relay/relay.ts', ['adapters/prisma/index.ts']],
    ['the source a sink', 'relay/source/wal/reader.ts', ['relay/kafka/kafkajs.ts']],
    ['a sink the source', 'relay/sink/stdout.ts', ['relay/source/wal/reader.ts']],
    ['another file both', 'relay/lanes.ts', ['relay/source/source.ts', 'relay/sink/sink.ts']],
    ['something the tests', 'relay/relay.ts', ['test/support/wait.ts']],
  ])('would not let %s import it', (_, path, imports) => {
    expect(violations(new Map([[path, imports]]))).not.toEqual([])
  })

  it('would not let a second file import a client that one file has', () => {
    for (const name of IN_ONE_FILE) {
      expect(violations(new Map([['relay/a.ts', [name]]]))).toEqual([])
      expect(
        violations(
          new Map([
            ['relay/a.ts', [name]],
            ['relay/b.ts', [name]],
          ]),
        ),
      ).toHaveLength(1)
    }
  })
})
