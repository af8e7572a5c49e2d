import { readFileSync } from 'node:fs'
import { parser } from '@prometheus-io/lezer-promql'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { RELAY_METRICS } from '../relay/ops/metrics-table.ts'
import { EMIT_METRICS } from '../src/metrics/emit-metrics.ts'

// What operators load into Prometheus and Grafana: each expression parses, and names metrics that exist, with their labels.

const METRICS = new Map<string, readonly string[]>()
for (const { name, type, labels } of [...Object.values(RELAY_METRICS), ...Object.values(EMIT_METRICS)]) {
  if (type !== 'histogram') METRICS.set(name, labels)
  else {
    METRICS.set(`${name}_bucket`, [...labels, 'le'])
    for (const part of ['sum', 'count']) METRICS.set(`${name}_${part}`, labels)
  }
}
/** Prometheus' own. */
const SCRAPE_LABELS = ['instance', 'job']

interface Looked {
  readonly metrics: readonly string[]
  readonly problems: readonly string[]
}

function look(expression: string): Looked {
  // Grafana's variables stand for a duration.
  const text = expression.replaceAll('$__rate_interval', '5m')
  const metrics: string[] = []
  const labels: string[] = []
  const problems: string[] = []
  parser.parse(text).iterate({
    enter: ({ type, from, to }) => {
      const words = text.slice(from, to)
      if (type.isError) problems.push(`syntax at ${from}: ${text}`)
      if (type.name === 'Identifier') metrics.push(words)
      if (type.name === 'LabelName') labels.push(words)
    },
  })
  for (const name of metrics) if (!METRICS.has(name)) problems.push(`no metric ${name}: ${text}`)
  const known = [...SCRAPE_LABELS, ...metrics.flatMap((name) => METRICS.get(name) ?? [])]
  for (const name of labels) if (!known.includes(name)) problems.push(`no label ${name}: ${text}`)
  return { metrics, problems }
}

function read(path: string): string {
  return readFileSync(new URL(`../ops/${path}`, import.meta.url), 'utf8')
}

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

describe('ops/alerts.yaml', () => {
  const { groups } = parse(read('alerts.yaml')) as { groups: readonly { name: string; rules: readonly Rule[] }[] }
  const rules = groups.flatMap((group) => group.rules)

  it.each(rules.map((rule) => [rule.alert, rule] as const))('%s: its metrics and labels exist', (_name, rule) => {
    const { metrics, problems } = look(rule.expr)
    expect(problems).toEqual([])
    expect(metrics.length).toBeGreaterThan(0)
    expect(['critical', 'warning', 'info']).toContain(rule.labels.severity)
    expect(rule.for ?? '1m').toMatch(/^\d+[smh]$/)
    expect(rule.annotations.summary && rule.annotations.description).toBeTruthy()
    // A label that the expression has summed away would be empty in the text.
    const words = `${rule.annotations.summary} ${rule.annotations.description}`
    const named = [...words.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label as string)
    const known = [...SCRAPE_LABELS, ...metrics.flatMap((metric) => METRICS.get(metric) ?? [])]
    expect(named.filter((label) => !known.includes(label))).toEqual([])
    const by = /by \(([^)]*)\)/.exec(rule.expr)?.[1]?.split(/,\s*/)
    if (by) expect(named.filter((label) => !by.includes(label))).toEqual([])
  })

  it('has a rule for each way to lose facts or to fill a disk', () => {
    const of = (name: string) => groups.find((group) => group.name === name)?.rules.map(({ alert }) => alert)
    expect(of('factlib-losing-facts')).toEqual([
      'FactlibNoRelay',
      'FactlibWalBudgetGone',
      'FactlibWalBudgetShort',
      'FactlibDeadLetters',
      'FactlibEmitFailures',
    ])
    expect(of('factlib-filling-a-disk')).toEqual(['FactlibWalKept', 'FactlibUnconfirmed'])
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
  })
})

describe('ops/grafana-dashboard.json', () => {
  interface Panel {
    readonly title: string
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
    readonly targets: readonly { readonly expr: string }[]
  }
  const { panels } = JSON.parse(read('grafana-dashboard.json')) as { panels: readonly Panel[] }

  it.each(panels.map((panel) => [panel.title, panel] as const))('%s: its metrics and labels exist', (_title, panel) => {
    for (const { expr } of panel.targets) {
      const { metrics, problems } = look(expr)
      expect(problems).toEqual([])
      expect(metrics.length).toBeGreaterThan(0)
    }
  })

  it('has no two panels in one place', () => {
    const cells = panels.flatMap(({ gridPos: { x, y, w } }) => Array.from({ length: w }, (_, i) => `${y}:${x + i}`))
    expect(new Set(cells).size).toBe(cells.length)
    expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24)
  })
})

it('finds what is wrong', () => {
  expect(look('rate(factlib_nothing_total[5m]').problems).toEqual([
    expect.stringContaining('syntax'),
    expect.stringContaining('no metric factlib_nothing_total'),
  ])
  expect(look('factlib_relay_ready{topic="x"}').problems).toEqual([expect.stringContaining('no label topic')])
})
