import { EMIT_METRICS } from '../../src/metrics/emit-metrics.ts'
import {
  DELIVERY_BUCKETS_SECONDS,
  ERROR_TYPES_MAX,
  LABEL_PAIRS_MAX,
  LATENCY_BUCKETS_SECONDS,
  OVERFLOW_LABEL,
  RELAY_METRICS,
  TOPICS_MAX,
} from './metrics-table.ts'

/** The text of docs/metrics.md, from the table of metrics. */
export function renderMetricsDoc(): string {
  return `${[
    '<!-- Generated from relay/ops/metrics.ts: change it there, then run: npx tsx scripts/docs-relay.ts -->',
    '',
    '# Metrics',
    '',
    '`/metrics` on `METRICS_PORT` (default 2112), in the text format 0.0.4 of Prometheus. Names and labels are those that dashboards made for',
    'OwlPost have; what those cannot say begins with `factlib_relay_`.',
    '',
    '| metric | type | labels | meaning |',
    '|---|---|---|---|',
    ...Object.values(RELAY_METRICS).map(
      ({ name, type, labels, help }) =>
        `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
    ),
    '',
    `Histograms have the buckets ${LATENCY_BUCKETS_SECONDS.join(', ')} seconds; that of deliveries ${DELIVERY_BUCKETS_SECONDS.join(', ')}.`,
    '',
    `An aggregate type and event type pair is kept as long as the process lives. After ${LABEL_PAIRS_MAX} pairs, facts of new ones are counted`,
    `under \`${OVERFLOW_LABEL}\`: an event type that holds an id by mistake fills neither memory nor Prometheus. The same holds for topics`,
    `(${TOPICS_MAX}) and names of errors (${ERROR_TYPES_MAX}).`,
    '',
    'A gauge that is not known is absent: those of the slot while the relay stands by or connects, a budget where there is no limit.',
    '`ops/grafana-dashboard.json` is a dashboard of these, and `ops/alerts.yaml` has a rule for each way to lose facts or fill a disk.',
    '',
    'As a library: `createRelayMetrics()` of `factlib/relay` gives an `observer` for `createRelay`, `watch(relay)` for the gauges, and the `registry`, to',
    'be merged with your own.',
    '',
    '## Where facts are emitted',
    '',
    '`collectEmitMetrics(registry)` of `factlib/metrics` counts into a registry of prom-client that you hand in (the package is not loaded by factlib):',
    '',
    '```ts',
    "import { collectEmitMetrics } from 'factlib/metrics'",
    "import { register } from 'prom-client'",
    '',
    'collectEmitMetrics(register)',
    '```',
    '',
    '| metric | type | labels | meaning |',
    '|---|---|---|---|',
    ...Object.values(EMIT_METRICS).map(
      ({ name, type, labels, help }) =>
        `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
    ),
    '',
    'Without prom-client: subscribe to the channel `factlib:emit` of `node:diagnostics_channel` (`EmitEvent`). Nothing is paid while nobody does.',
  ].join('\n')}\n`
}
