import { LABEL_PAIRS_MAX, LATENCY_BUCKETS_SECONDS, OVERFLOW_LABEL, RELAY_METRICS } from './metrics.ts'

/** The text of docs/metrics.md, from the table of metrics. */
export function renderMetricsDoc(): string {
  return `${[
    '<!-- Generated from relay/ops/metrics.ts: change it there, then run: npx tsx scripts/docs-relay.ts -->',
    '',
    "# The relay's metrics",
    '',
    '`/metrics` on `METRICS_PORT` (default 2112), in the text format 0.0.4 of Prometheus. Names and labels are those that dashboards made for',
    'OwlPost have.',
    '',
    '| metric | type | labels | meaning |',
    '|---|---|---|---|',
    ...Object.values(RELAY_METRICS).map(
      ({ name, type, labels, help }) =>
        `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
    ),
    '',
    `Histograms have the buckets ${LATENCY_BUCKETS_SECONDS.join(', ')} seconds.`,
    '',
    `An aggregate type and event type pair is kept as long as the process lives. After ${LABEL_PAIRS_MAX} pairs, facts of new ones are counted`,
    `under \`${OVERFLOW_LABEL}\`: an event type that holds an id by mistake fills neither memory nor Prometheus.`,
    '',
    'As a library: `createRelayMetrics()` gives an `observer` for `createRelay` and the `registry`, to be merged with your own.',
  ].join('\n')}\n`
}
