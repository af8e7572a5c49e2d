import type { Metric, Registry } from 'prom-client'

export interface MetricValue {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  readonly metricName?: string
}

/** The registry asks a metric for no more than this when it is read; its type is the class, which counts by itself. */
export function registerOnDemand(
  registry: Registry,
  metric: { readonly name: string; readonly type: string; readonly help: string },
  read: () => MetricValue[],
): void {
  const { name, type, help } = metric
  registry.registerMetric({
    name,
    help,
    type,
    get: async () => ({ name, help, type, values: read(), aggregator: 'sum' }),
    // Counted elsewhere: the registry's reset leaves it as it is.
    reset: () => {},
  } as unknown as Metric)
}
