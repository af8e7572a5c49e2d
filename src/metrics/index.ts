/** `factlib/metrics`: what a service emits, as metrics in its own registry of prom-client. */
export { collectEmitMetrics, EMIT_METRICS, type EmitRegistryLike } from './emit-metrics.ts'
