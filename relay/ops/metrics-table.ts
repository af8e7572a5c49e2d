/** Seconds; the default buckets of Prometheus' Go client, as OwlPost has them. */
export const LATENCY_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const

/** Seconds from COMMIT to Kafka: from an idle system to one that works off an outage. */
export const DELIVERY_BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800,
] as const

/** Label pairs are kept for ever, and an event type may hold an id by mistake: past this many pairs, `OVERFLOW_LABEL`. */
export const LABEL_PAIRS_MAX = 1_000
/** The same for topics, and for names of errors. */
export const TOPICS_MAX = 1_000
export const ERROR_TYPES_MAX = 100
export const OVERFLOW_LABEL = '_other'

const FACT_LABELS = ['aggregate_type', 'event_type'] as const

/** Every metric of the relay; docs/metrics.md is made from it. */
export const RELAY_METRICS = {
  consumed: {
    name: 'factlib_events_consumed_total',
    type: 'counter',
    labels: FACT_LABELS,
    help: "Facts received from PostgreSQL's WAL; a fact that is delivered again counts again.",
  },
  handlerSuccess: {
    name: 'factlib_event_handler_success_total',
    type: 'counter',
    labels: FACT_LABELS,
    help: "Facts that became durable: acknowledged by Kafka, or by a route's handler.",
  },
  handlerFailures: {
    name: 'factlib_event_handler_failures_total',
    type: 'counter',
    labels: FACT_LABELS,
    help: 'Failed attempts to make a fact durable; each is tried again.',
  },
  handlerLatency: {
    name: 'factlib_event_handler_latency_seconds',
    type: 'histogram',
    labels: FACT_LABELS,
    help: 'Seconds from the receipt of a fact until it was durable.',
  },
  produceSuccess: {
    name: 'factlib_kafka_produce_success_total',
    type: 'counter',
    labels: ['topic'],
    help: 'Records that Kafka acknowledged.',
  },
  produceFailures: {
    name: 'factlib_kafka_produce_failures_total',
    type: 'counter',
    labels: ['topic', 'error_type'],
    help: 'Produce requests that failed; each is tried again.',
  },
  produceLatency: {
    name: 'factlib_kafka_produce_latency_seconds',
    type: 'histogram',
    labels: ['topic'],
    help: 'Seconds that a produce request took until it was acknowledged; a request has up to SEND_RECORDS records.',
  },
  replicationErrors: {
    name: 'factlib_wal_replication_errors_total',
    type: 'counter',
    labels: ['slot', 'error_type'],
    help: 'Errors of the replication connection and of its slot.',
  },
  retries: {
    name: 'factlib_relay_retries_total',
    type: 'counter',
    labels: ['cause'],
    help: 'What was tried again, by cause: `kafka:<error>`, `postgres:<SQLSTATE>` or `handler`.',
  },
  deadLetters: {
    name: 'factlib_relay_dead_letters_total',
    type: 'counter',
    labels: ['cause'],
    help: 'Facts that went to the dead-letter topic.',
  },
  foreign: {
    name: 'factlib_relay_foreign_messages_total',
    type: 'counter',
    labels: [],
    help: 'Messages of other prefixes, which were passed over; heartbeats do not count.',
  },
  delivery: {
    name: 'factlib_relay_delivery_seconds',
    type: 'histogram',
    labels: [],
    help: "Seconds from a fact's COMMIT until Kafka acknowledged it, of the first fact of each request; by PostgreSQL's clock and this machine's.",
  },
  ready: {
    name: 'factlib_relay_ready',
    type: 'gauge',
    labels: [],
    help: '1 while `/readyz` is 200.',
  },
  phase: {
    name: 'factlib_relay_phase',
    type: 'gauge',
    labels: ['phase'],
    help: '1 for the phase that the relay is in: idle, connecting, streaming, draining, standby, stopped, failed.',
  },
  confirmedLag: {
    name: 'factlib_relay_slot_confirmed_lag_bytes',
    type: 'gauge',
    labels: ['slot'],
    help: "WAL between the slot's confirmed position and the end of the WAL, at the last look (every 10 s); an idle relay leaves up to 64 KiB.",
  },
  restartLag: {
    name: 'factlib_relay_slot_restart_lag_bytes',
    type: 'gauge',
    labels: ['slot'],
    help: 'WAL that PostgreSQL keeps on its disk for the slot.',
  },
  walBudget: {
    name: 'factlib_relay_slot_wal_budget_bytes',
    type: 'gauge',
    labels: ['slot'],
    help: 'WAL that may still be written before PostgreSQL gives the slot up (`safe_wal_size`); absent without `max_slot_wal_keep_size`.',
  },
  walBudgetSeconds: {
    name: 'factlib_relay_slot_wal_budget_seconds',
    type: 'gauge',
    labels: ['slot'],
    help: 'How long that lasts at the present rate.',
  },
  behind: {
    name: 'factlib_relay_behind_seconds',
    type: 'gauge',
    labels: [],
    help: 'Age of the oldest transaction that was received and is not durable in Kafka, or of the heartbeat that has not come back; 0 when nothing waits.',
  },
  unconfirmed: {
    name: 'factlib_relay_unconfirmed_seconds',
    type: 'gauge',
    labels: [],
    help: 'How long the oldest fact has waited to be confirmed to PostgreSQL; 0 when none waits.',
  },
  heartbeat: {
    name: 'factlib_relay_heartbeat_seconds',
    type: 'gauge',
    labels: [],
    help: 'What the last heartbeat took from its writing through the WAL and the slot back to the relay.',
  },
  pendingFacts: {
    name: 'factlib_relay_pending_facts',
    type: 'gauge',
    labels: [],
    help: 'Facts received and not yet durable.',
  },
  pendingBytes: {
    name: 'factlib_relay_pending_bytes',
    type: 'gauge',
    labels: [],
    help: 'What they count for in `WINDOW_BYTES`.',
  },
  lanes: {
    name: 'factlib_relay_lanes',
    type: 'gauge',
    labels: ['state'],
    help: 'Queues of topic-partitions, by state: `busy` or `idle`.',
  },
  buildInfo: {
    name: 'factlib_relay_build_info',
    type: 'gauge',
    labels: ['version', 'node'],
    help: 'Always 1; the versions are its labels.',
  },
  memory: {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    labels: [],
    help: 'Memory of the process.',
  },
  cpu: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    labels: [],
    help: 'CPU time of the process, user and system.',
  },
} as const
