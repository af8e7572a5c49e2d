/**
 * The one table of the relay's options. Everything else is made from it: the variables and flags that are read, the keys
 * of the config file and of `createRelay`, `--help`, docs/options.md, and the checks with their messages.
 *
 * A new option is one entry here and its use in settings.ts. `env`: the first one that is set wins. Units are in the keys.
 */

import type { RelayOption } from './option.ts'
import { CONSOLE_OPTIONS } from './options-console.ts'
import { KAFKA_OPTIONS } from './options-kafka.ts'

export type { OptionKind, RelayOption } from './option.ts'

const COUNT_MAX = 2_147_483_647

export const RELAY_OPTIONS = [
  {
    key: 'prefix',
    env: ['WAL_PREFIX', 'FACTLIB_PREFIX'],
    flag: '--prefix',
    kind: { type: 'list' },
    required: true,
    scope: 'relay',
    group: 'What to relay',
    docs: 'Prefixes of the facts to relay, exact and case-sensitive, separated by commas; `*` relays every prefix.',
    whenToChange:
      'Set it to the prefix that your services emit with. Facts of other prefixes are passed over for good.',
  },
  {
    key: 'databaseUrl',
    env: ['MASTER_DATABASE_URL', 'DATABASE_URL'],
    flag: '--database-url',
    kind: { type: 'text' },
    required: true,
    secret: true,
    scope: 'relay',
    group: 'PostgreSQL',
    docs: 'Where the database is: a URL or `keyword=value` text, as libpq reads them, with `sslmode` and several hosts; parameters of Prisma are tolerated.',
    whenToChange:
      'Give the direct address of the server that takes writes, not of a pooler. Its role needs REPLICATION.',
  },
  {
    key: 'slotName',
    env: ['REPLICATION_SLOT_NAME'],
    flag: '--slot-name',
    kind: { type: 'text' },
    default: 'factlib_slot',
    scope: 'relay',
    group: 'PostgreSQL',
    docs: 'Name of the replication slot: lower-case letters, digits and underscores, 63 at most.',
    whenToChange:
      'When two different relays read the same server. Two copies of one relay share a slot: one works, the other stands by.',
  },
  {
    key: 'publicationName',
    env: ['PUBLICATION_NAME'],
    flag: '--publication-name',
    kind: { type: 'text' },
    default: 'facts',
    scope: 'relay',
    group: 'PostgreSQL',
    docs: 'Name of the (empty) publication that the slot reads with; created when it is missing.',
    whenToChange: 'When the name is taken by a publication of tables.',
  },
  {
    key: 'slotCreate',
    env: ['SLOT_CREATE'],
    flag: '--slot-create',
    kind: { type: 'choice', choices: ['first', 'always', 'never'] },
    default: 'first',
    scope: 'relay',
    group: 'PostgreSQL',
    docs: 'Whether a missing slot is created: `first` only when this relay never had it, `always`, or `never`.',
    whenToChange:
      'Take `never` where slots are made by hand. `always` hides that facts were lost together with a slot.',
  },
  {
    key: 'slotFailover',
    env: ['SLOT_FAILOVER'],
    flag: '--slot-failover',
    kind: { type: 'boolean' },
    default: 'false',
    scope: 'relay',
    group: 'PostgreSQL',
    docs: 'Whether a slot that is created follows a failover to a standby (PostgreSQL 17 and newer; older ones ignore it).',
    whenToChange: 'Turn it on where a standby can take over and `sync_replication_slots` is on there.',
  },
  {
    key: 'acceptGap',
    env: ['ACCEPT_GAP'],
    flag: '--accept-gap',
    kind: { type: 'boolean' },
    default: 'false',
    scope: 'relay',
    group: 'PostgreSQL',
    docs: 'Go on although the slot does not continue where this relay left it, and facts between may be missing.',
    whenToChange:
      'Give it once, after a halt that names a gap and after the missing facts were recovered. Never leave it on.',
  },
  {
    key: 'heartbeatMs',
    env: ['HEARTBEAT_MS'],
    flag: '--heartbeat-ms',
    kind: { type: 'integer', min: 0, max: 300_000 },
    default: '10000',
    scope: 'relay',
    group: 'PostgreSQL',
    docs: 'Milliseconds between heartbeats: a message of about 100 bytes in the WAL that shows that the slot really delivers; none while nobody else writes to the WAL. 0 turns them off.',
    whenToChange:
      'Turn it off where a relay must write nothing at all, or where another reader of this database (such as OwlPost) would count the message as a foreign one.',
  },
  ...KAFKA_OPTIONS,
  {
    key: 'appName',
    env: ['APP_NAME'],
    flag: '--app-name',
    kind: { type: 'text' },
    default: 'owlpost',
    scope: 'relay',
    group: 'Kafka',
    docs: 'First half of the Kafka client id, `<app name>.<source service name>`.',
    whenToChange: 'When quotas or broker logs tell clients apart by their id.',
  },
  {
    key: 'sourceServiceName',
    env: ['SRC_SERVICE_NAME'],
    flag: '--source-service-name',
    kind: { type: 'text' },
    default: 'westeros',
    scope: 'relay',
    group: 'Kafka',
    docs: 'Second half of the Kafka client id: the service whose facts are relayed.',
    whenToChange: 'To the name of your service.',
  },
  {
    key: 'windowFacts',
    env: ['WINDOW_FACTS'],
    flag: '--window-facts',
    kind: { type: 'integer', min: 1, max: 10_000_000 },
    default: '20000',
    scope: 'relay',
    group: 'Limits',
    docs: 'Facts received and not yet durable in Kafka; reading pauses above it.',
    whenToChange: 'Lower it to save memory; raise it when Kafka is far away and the relay waits for it.',
  },
  {
    key: 'windowBytes',
    env: ['WINDOW_BYTES'],
    flag: '--window-bytes',
    kind: { type: 'integer', min: 1024, max: 8_589_934_592 },
    default: '67108864',
    scope: 'relay',
    group: 'Limits',
    docs: 'Bytes of those facts; reading pauses above it.',
    whenToChange: 'When facts are large, or memory is short.',
  },
  {
    key: 'sendRecords',
    env: ['SEND_RECORDS'],
    flag: '--send-records',
    kind: { type: 'integer', min: 1, max: 10_000 },
    default: '500',
    scope: 'relay',
    group: 'Limits',
    docs: 'Records of one produce request at most.',
    whenToChange: 'Rarely: more than 500 costs more than it gains.',
  },
  {
    key: 'sendBytes',
    env: ['SEND_BYTES'],
    flag: '--send-bytes',
    kind: { type: 'integer', min: 1024, max: 1_073_741_824 },
    default: '900000',
    scope: 'relay',
    group: 'Limits',
    docs: 'Bytes of one produce request at most; a single larger fact travels alone.',
    whenToChange: "When the brokers' `message.max.bytes` is not the usual 1 MB.",
  },
  {
    key: 'drainTimeoutMs',
    env: ['DRAIN_TIMEOUT_MS'],
    flag: '--drain-timeout-ms',
    kind: { type: 'integer', min: 0, max: COUNT_MAX },
    default: '10000',
    scope: 'relay',
    group: 'Limits',
    docs: 'Milliseconds that a stop waits until what was received is durable; the rest is delivered again after the next start.',
    whenToChange: 'Keep it, plus five seconds, under the grace period of your orchestrator.',
  },
  {
    key: 'traceparentHeader',
    env: ['TRACEPARENT_HEADER'],
    flag: '--traceparent-header',
    kind: { type: 'boolean' },
    default: 'false',
    scope: 'relay',
    group: 'Operation',
    docs: 'Gives each record with a trace the W3C header `traceparent`, made of `trace_id`, `span_id` and `is_sampled`, unless its emitter gave one.',
    whenToChange: 'When consumers trace with OpenTelemetry and services emit with Sentry, Django or Go.',
  },
  {
    key: 'sentry',
    env: ['RELAY_SENTRY'],
    flag: '--sentry',
    kind: { type: 'boolean' },
    default: 'false',
    scope: 'process',
    group: 'Operation',
    docs: 'Traces each produce request with `@sentry/node`, which must be installed beside; it reads `SENTRY_DSN`, `SENTRY_TRACES_SAMPLE_RATE` and its other variables itself, unless it is set up already.',
    whenToChange: 'To see in Sentry when and with what a fact was brought to Kafka.',
  },
  {
    key: 'healthPort',
    env: ['WAL_HEALTH_PORT'],
    flag: '--health-port',
    kind: { type: 'integer', min: 0, max: 65_535 },
    default: '3001',
    scope: 'process',
    group: 'Operation',
    docs: 'Port of `/health` and `/readyz` (facts get through: 200 or 503, with the reason) and `/livez` (the process makes progress); 0 takes a free one.',
    whenToChange: 'When the port is taken. It may equal the metrics port.',
  },
  {
    key: 'metricsPort',
    env: ['METRICS_PORT'],
    flag: '--metrics-port',
    kind: { type: 'integer', min: 0, max: 65_535 },
    default: '2112',
    scope: 'process',
    group: 'Operation',
    docs: 'Port of `/metrics` in the text format of Prometheus; 0 takes a free one.',
    whenToChange: 'When the port is taken. It may equal the health port.',
  },
  {
    key: 'httpHost',
    env: ['HTTP_HOST'],
    flag: '--http-host',
    kind: { type: 'text' },
    scope: 'process',
    group: 'Operation',
    docs: 'Address on which both ports listen; without it, all addresses of the machine.',
    whenToChange: 'Take `127.0.0.1` when only this machine may ask.',
  },
  {
    key: 'logLevel',
    env: ['LOG_LEVEL'],
    flag: '--log-level',
    kind: {
      type: 'choice',
      choices: ['debug', 'info', 'warn', 'error', 'silent'],
      aliases: { trace: 'debug', warning: 'warn', fatal: 'error', dpanic: 'error', panic: 'error' },
    },
    default: 'info',
    scope: 'process',
    group: 'Operation',
    docs: 'Least severe lines that are logged, as JSON on stdout.',
    whenToChange: 'Take `debug` to follow each connection and request.',
  },
  ...CONSOLE_OPTIONS,
] as const satisfies readonly RelayOption[]

type Table = (typeof RELAY_OPTIONS)[number]

/** `kafkaBrokers`, `windowFacts`, … */
export type RelayOptionKey = Table['key']

type ValueOf<K> = K extends { type: 'integer' }
  ? number
  : K extends { type: 'boolean' }
    ? boolean
    : K extends { type: 'list' }
      ? string | readonly string[]
      : K extends { type: 'choice'; choices: readonly (infer C)[] }
        ? C
        : string

/** The options of a config file: every option by its key. */
export type RelayFileOptions = { readonly [O in Table as O['key']]?: ValueOf<O['kind']> | undefined }

/** The options of `createRelay`: those that are not of the process (ports, log level). */
export type RelayOptionValues = {
  readonly [O in Extract<Table, { scope: 'relay' }> as O['key']]?: ValueOf<O['kind']> | undefined
}

/** The same table, as rows of one type. */
export const OPTION_ROWS: readonly (RelayOption & { readonly key: RelayOptionKey })[] = RELAY_OPTIONS
