// A plot from the JSON of bench/relay.mts: facts a second of each contestant, and its CPU.
//   npx tsx bench/plot.mts [--out docs/performance.svg] w1.json w2.json …
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { root } from './rounds.mts'

interface Measured {
  readonly machine: string
  readonly shape: { readonly facts: number; readonly perTransaction: number }
  readonly table: readonly Record<string, string | number>[]
}

const BAR_PIXELS = 18
const LABEL_PIXELS = 170
const WIDTH_PIXELS = 460

const { values: options, positionals: files } = parseArgs({
  options: { out: { type: 'string', default: `${root}docs/performance.svg` } },
  allowPositionals: true,
})
const charts = files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Measured)
const most = Math.max(...charts.flatMap(({ table }) => table.map((row) => Number(row['facts/s']))))
let y = 8
const parts: string[] = []
for (const { shape, table } of charts) {
  y += 22
  parts.push(`<text x="0" y="${y}" font-weight="bold">${title(shape)}</text>`)
  y += 8
  for (const row of [...table].sort((a, b) => Number(b['facts/s']) - Number(a['facts/s']))) {
    const rate = Number(row['facts/s'])
    const width = Math.max(1, (rate / most) * WIDTH_PIXELS)
    const name = String(row['contestant'])
    parts.push(
      `<text x="${LABEL_PIXELS - 8}" y="${y + 13}" text-anchor="end">${name}</text>`,
      `<rect x="${LABEL_PIXELS}" y="${y}" width="${width.toFixed(1)}" height="${BAR_PIXELS - 4}" fill="${name.startsWith('relay') ? '#2563eb' : '#94a3b8'}"/>`,
      `<text x="${(LABEL_PIXELS + width + 6).toFixed(1)}" y="${y + 12}">${label(row, rate)}</text>`,
    )
    y += BAR_PIXELS
  }
}
const lines = [
  `<svg xmlns="http://www.w3.org/2000/svg" width="${LABEL_PIXELS + WIDTH_PIXELS + 130}" height="${y + 30}" font-family="system-ui, sans-serif" font-size="12" fill="#334155">`,
  '<title>Facts a second, and CPU a fact</title>',
  '<rect width="100%" height="100%" fill="#ffffff"/>',
  ...parts,
  `<text x="0" y="${y + 20}" font-size="10">${charts[0]?.machine ?? ''}; facts a second, CPU of the reading process a fact</text>`,
  '</svg>',
]
writeFileSync(options.out, `${lines.join('\n')}\n`)

function label(row: Measured['table'][number], rate: number): string {
  const cpu = row['CPU µs/fact']
  return `${(rate / 1_000).toFixed(rate < 10_000 ? 1 : 0)}k/s${cpu ? `, ${cpu} µs` : ''}`
}

function title({ facts, perTransaction }: Measured['shape']): string {
  const count = facts.toLocaleString('en')
  if (perTransaction >= facts) return `One transaction of ${count} facts`
  return `${count} facts, ${perTransaction} a transaction`
}
