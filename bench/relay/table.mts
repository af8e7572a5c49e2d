// The results of bench/relay.mts as rows: medians, and ratios paired within a round.
import { median, pairedRatio } from '../rounds.mts'
import type { Contestant } from './contestants.mts'
import type { ContestantResult } from './span.mts'

export type Results = ReadonlyMap<string, readonly ContestantResult[]>

/** Ratios to whom, by their own clock. */
const PAIRED = { '× pg_recvlogical': 'pg_recvlogical', '× prototype': 'prototype', '× memory': 'kafkajs from memory' }
/** Ratios to others' programs, from the first record in Kafka to the last, by Kafka's clock. */
const PAIRED_IN_KAFKA = { '× Debezium': 'Debezium', '× OwlPost': 'OwlPost' }

export function resultTable(contestants: readonly Contestant[], results: Results, facts: number) {
  const rates = (name: string) => (results.get(name) ?? []).map((one) => (one.facts ?? facts) / one.seconds)
  const kafkaRates = (name: string) => (results.get(name) ?? []).map((one) => facts / (one.kafkaSeconds ?? Number.NaN))
  const rows = contestants.map(({ name, client }) => {
    const own = results.get(name) ?? []
    const of = (pick: (result: ContestantResult) => number | undefined) =>
      median(own.map((result) => pick(result) ?? Number.NaN))
    const row: Record<string, string | number> = { contestant: name, 'facts/s': Math.round(median(rates(name))) }
    for (const [column, other] of Object.entries(PAIRED)) {
      if (column === '× memory' && client !== 'kafkajs') row[column] = ''
      else if (column === '× prototype' && client === 'kafkajs')
        row[column] = ratio(rates(name), rates('prototype kafkajs'))
      else row[column] = ratio(rates(name), rates(other))
    }
    row['in Kafka/s'] = text(median(kafkaRates(name)), 0)
    for (const [column, other] of Object.entries(PAIRED_IN_KAFKA))
      row[column] = ratio(kafkaRates(name), kafkaRates(other))
    return {
      ...row,
      'CPU µs/fact': text(
        of((one) => one.cpuMicrosPerFact),
        1,
      ),
      'RSS MB': text(
        of((one) => one.rssMegabytes),
        0,
      ),
      'requests/10k': text(
        of((one) => one.requests),
        0,
      ),
      'confirmed s': text(
        of((one) => one.confirmedSeconds),
        1,
      ),
    } as Record<string, string | number>
  })
  return withoutEmptyColumns(rows)
}

function ratio(one: readonly number[], other: readonly number[]): string {
  return one.length > 0 && other.length > 0 ? text(pairedRatio(one, other), 2) : ''
}

function text(value: number, digits: number): string {
  return Number.isNaN(value) ? '' : value.toFixed(digits)
}

function withoutEmptyColumns(rows: readonly Record<string, string | number>[]) {
  const columns = Object.keys(rows[0] ?? {}).filter((column) => rows.some((row) => row[column] !== ''))
  return rows.map((row) => Object.fromEntries(columns.map((column) => [column, row[column] ?? ''])))
}
