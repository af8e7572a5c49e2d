// What the scripts of this folder share: a PostgreSQL, two things side by side, medians, and their lines in docs/performance.md.
import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import pg from 'pg'
import type { FactInput } from '../../src/fact.ts'
import { providePostgres } from '../../test/support/services/provide.ts'

/** What is measured of one ORM; each function does its work once, in a transaction that is open. */
export interface Contestant {
  /** `Prisma 7.10.0` */
  readonly name: string
  readonly emitOne: (fact: FactInput) => Promise<unknown>
  /** The ORM's own insert of the same fact into `plain_outbox`. */
  readonly insertOne: (row: OutboxRow) => Promise<unknown>
  readonly emitTen: (facts: readonly FactInput[]) => Promise<unknown>
}

export interface OutboxRow {
  readonly id: string
  readonly aggregateType: string
  readonly aggregateId: string
  readonly eventType: string
  readonly payload: Uint8Array<ArrayBuffer>
  readonly metadata: { readonly source: string }
}

export interface Figures {
  readonly name: string
  /** Microseconds, medians. */
  readonly emitOneMicros: number
  readonly insertOneMicros: number
  readonly emitTenMicros: number
  readonly tenCallsMicros: number
}

/** Runs this ORM's script: `work` opens its client on the database, and each transaction of the measurement. */
export async function benchEmit(
  work: (url: string, measure: (contestant: Contestant) => Promise<void>) => Promise<void>,
): Promise<void> {
  await withDatabase(async (url) => {
    const samples: Samples = { emitOne: [], insertOne: [], emitTen: [], tenCalls: [] }
    let name = ''
    await work(url, async (contestant) => {
      name = contestant.name
      await sample(contestant, samples)
    })
    await report({
      name,
      emitOneMicros: medianMicros(samples.emitOne),
      insertOneMicros: medianMicros(samples.insertOne),
      emitTenMicros: medianMicros(samples.emitTen),
      tenCallsMicros: medianMicros(samples.tenCalls),
    })
  })
}

/** A database of its own with the tables of prisma/schema.sql, `plain_outbox` among them. */
export async function withDatabase(work: (url: string) => Promise<void>): Promise<void> {
  const postgres = await providePostgres()
  const admin = new pg.Client({ connectionString: postgres.url })
  const database = `factlib_bench_${randomUUID().slice(0, 8)}`
  try {
    await admin.connect()
    await admin.query(`CREATE DATABASE ${database}`)
    const url = new URL(postgres.url)
    url.pathname = `/${database}`
    const client = new pg.Client({ connectionString: url.href })
    await client.connect()
    await client.query(await readFile(new URL('../../prisma/schema.sql', import.meta.url), 'utf8'))
    await client.end()
    await work(url.href)
  } finally {
    await admin.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`)
    await admin.end()
    await postgres.stop()
  }
}

/** Of times in milliseconds, without the first tenth, which warms everything up. */
export function medianMicros(timesMs: readonly number[]): number {
  const sorted = timesMs.slice(Math.ceil(timesMs.length / 10)).sort((a, b) => a - b)
  return Math.round(sorted[Math.floor(sorted.length / 2)]! * 1000)
}

type Samples = Record<'emitOne' | 'insertOne' | 'emitTen' | 'tenCalls', number[]>

const ROUNDS_IN_A_TRANSACTION = 20

/** Takes the time of `run`, in milliseconds, into a list. */
export async function timed(intoMs: number[], run: () => Promise<unknown>): Promise<void> {
  const startedMs = performance.now()
  await run()
  intoMs.push(performance.now() - startedMs)
}

/**
 * Each pair in turns and by itself, each as often as the other, and in another order each time: what disturbs one disturbs
 * the other. Not all four in one round: what runs ten times as often finds the processor's caches warm, which is worth a quarter.
 */
async function sample({ emitOne, insertOne, emitTen }: Contestant, samples: Samples): Promise<void> {
  await inTurns(ROUNDS_IN_A_TRANSACTION, [
    () => timed(samples.emitOne, () => emitOne(fact())),
    () => timed(samples.insertOne, () => insertOne(row())),
  ])
  await inTurns(ROUNDS_IN_A_TRANSACTION, [
    () => timed(samples.emitTen, () => emitTen(ten())),
    () =>
      timed(samples.tenCalls, async () => {
        for (const one of ten()) await emitOne(one)
      }),
  ])
}

/** What comes first is slower than the next: the order changes with each round. */
export async function inTurns(rounds: number, steps: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const step of round % 2 === 0 ? steps : [...steps].reverse()) await step()
  }
}

export const PAYLOAD = { id: 7, status: 'paid', note: 'x'.repeat(250) }

export function fact(): FactInput {
  return {
    aggregateType: 'order',
    aggregateId: randomUUID(),
    eventType: 'order.paid',
    payload: PAYLOAD,
    metadata: { source: 'bench' },
  }
}

export function ten(): FactInput[] {
  return Array.from({ length: 10 }, fact)
}

export function row(): OutboxRow {
  const { aggregateType, aggregateId, eventType } = fact()
  const payload = new TextEncoder().encode(JSON.stringify(PAYLOAD))
  const metadata = { source: 'bench' }
  return { id: randomUUID(), aggregateType, aggregateId: String(aggregateId), eventType, payload, metadata }
}

const PAGE = new URL('../../docs/performance.md', import.meta.url)
const HEADING = '## Emission'
const TABLE = [
  '| | one fact | its own insert | ratio | ten facts, one call | ten calls | ratio |',
  '| --- | --- | --- | --- | --- | --- | --- |',
]

/** Prints the figures, and puts them into this ORM's line of the page. */
async function report({ name, emitOneMicros, insertOneMicros, emitTenMicros, tenCallsMicros }: Figures): Promise<void> {
  const ratio = (a: number, b: number) => (a / b).toFixed(2)
  const cells = [
    name,
    `${emitOneMicros} µs`,
    `${insertOneMicros} µs`,
    ratio(emitOneMicros, insertOneMicros),
    `${emitTenMicros} µs`,
    `${tenCallsMicros} µs`,
    ratio(emitTenMicros, tenCallsMicros),
  ]
  const line = `| ${cells.join(' | ')} |`
  console.log([...TABLE, line].join('\n'))
  if (!process.argv.includes('--write')) return
  const page = await readFile(PAGE, 'utf8').catch(() => '# Performance\n')
  const [before, section = ''] = page.split(`${HEADING}\n`)
  const [own, ...after] = section.split(/^(?=## )/m)
  const others = (own ?? '').split('\n').filter((text) => text.startsWith('| ') && !TABLE.includes(text))
  const lines = [...others.filter((text) => !text.startsWith(`| ${name} |`)), line].sort()
  const text = [
    HEADING,
    '',
    "A fact against that ORM's own insert of the same fact into an outbox table, in the same transaction; ten facts in one",
    'call against ten calls. Medians, in turns and as often as each other, in one run: the ratios are what counts, not the microseconds.',
    '`npx tsx bench/emit/all.mts --write` writes them here; each script of `bench/emit` runs alone, too.',
    '',
    ...TABLE,
    ...lines,
    '',
  ]
  await writeFile(
    PAGE,
    `${[before?.trimEnd(), '', ...text].join('\n')}${after.length > 0 ? `\n${after.join('')}` : ''}`,
  )
}
