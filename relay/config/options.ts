/**
 * The one table of the relay's options. Everything else is made from it: the variables and flags that are read, the keys
 * of the config file and of `createRelay`, `--help`, docs/options.md, and the checks with their messages.
 *
 * A new option is one entry here and its use in settings.ts. `env`: the first one that is set wins. Units are in the keys.
 */

/** How an option's value is written and checked (values.ts). */
export type OptionKind =
  | { readonly type: 'text' }
  /** Commas in text form, an array in a config file. */
  | { readonly type: 'list' }
  | { readonly type: 'integer'; readonly min: number; readonly max: number }
  | { readonly type: 'boolean' }
  /** Case does not matter; `aliases` are other spellings of a choice. */
  | {
      readonly type: 'choice'
      readonly choices: readonly string[]
      readonly aliases?: Readonly<Record<string, string>>
    }

export interface RelayOption {
  readonly key: string
  readonly env: readonly string[]
  /** Absent: no flag, because a process list would show the secret. */
  readonly flag?: string
  readonly kind: OptionKind
  /** As a user would write it; absent: see `required` and `docs`. */
  readonly default?: string
  readonly required?: true
  /** Never shown: masked in every output. */
  readonly secret?: true
  /** `process`: of the `factlib-relay` process only, not of `createRelay`. */
  readonly scope: 'relay' | 'process'
  readonly group: 'What to relay' | 'PostgreSQL' | 'Kafka' | 'Limits' | 'Operation'
  readonly docs: string
  readonly whenToChange: string
}

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
    key: 'kafkaBrokers',
    env: ['KAFKA_BROKERS'],
    flag: '--kafka-brokers',
    kind: { type: 'list' },
    default: 'localhost:9093',
    scope: 'relay',
    group: 'Kafka',
    docs: 'Brokers to begin with, `host:port`, separated by commas.',
    whenToChange: 'Always, in production; name two or three of them.',
  },
  {
    key: 'kafkaUsername',
    env: ['KAFKA_USERNAME'],
    flag: '--kafka-username',
    kind: { type: 'text' },
    scope: 'relay',
    group: 'Kafka',
    docs: 'User for SASL; without it the relay does not authenticate.',
    whenToChange: 'When the brokers ask for a user.',
  },
  {
    key: 'kafkaPassword',
    env: ['KAFKA_PASSWORD'],
    kind: { type: 'text' },
    secret: true,
    scope: 'relay',
    group: 'Kafka',
    docs: 'Password for SASL. It has no flag, because a list of processes would show it.',
    whenToChange: 'Together with the user.',
  },
  {
    key: 'kafkaSsl',
    env: ['KAFKA_SSL'],
    flag: '--kafka-ssl',
    kind: { type: 'boolean' },
    default: 'false',
    scope: 'relay',
    group: 'Kafka',
    docs: 'TLS 1.2 or newer to the brokers, whose certificates are verified. While it is false, a user and password travel over plain text.',
    whenToChange: 'Whenever the network between relay and brokers is not yours alone.',
  },
  {
    key: 'kafkaSaslMechanism',
    env: ['KAFKA_SASL_MECHANISM'],
    flag: '--kafka-sasl-mechanism',
    kind: {
      type: 'choice',
      choices: ['plain', 'scram-sha-256', 'scram-sha-512'],
      aliases: { 'scram-sha256': 'scram-sha-256', 'scram-sha512': 'scram-sha-512' },
    },
    default: 'scram-sha-512',
    scope: 'relay',
    group: 'Kafka',
    docs: 'SASL mechanism; used only with a user.',
    whenToChange: 'To what the brokers have; many hosted ones want `plain` over TLS.',
  },
  {
    key: 'kafkaSslCa',
    env: ['KAFKA_SSL_CA'],
    flag: '--kafka-ssl-ca',
    kind: { type: 'text' },
    scope: 'relay',
    group: 'Kafka',
    docs: "Path of the authority's certificate (PEM) that signed those of the brokers; without it, those that Node.js trusts.",
    whenToChange: 'When the brokers have certificates of a private authority.',
  },
  {
    key: 'kafkaSslCert',
    env: ['KAFKA_SSL_CERT'],
    flag: '--kafka-ssl-cert',
    kind: { type: 'text' },
    scope: 'relay',
    group: 'Kafka',
    docs: "Path of the relay's own certificate (PEM), for brokers that authenticate clients by certificate.",
    whenToChange: 'Together with its key.',
  },
  {
    key: 'kafkaSslKey',
    env: ['KAFKA_SSL_KEY'],
    flag: '--kafka-ssl-key',
    kind: { type: 'text' },
    scope: 'relay',
    group: 'Kafka',
    docs: 'Path of the private key (PEM, not encrypted) of that certificate.',
    whenToChange: 'Together with the certificate.',
  },
  {
    key: 'kafkaClient',
    env: ['KAFKA_CLIENT'],
    flag: '--kafka-client',
    kind: { type: 'choice', choices: ['auto', 'platformatic', 'kafkajs'] },
    default: 'auto',
    scope: 'relay',
    group: 'Kafka',
    docs: 'Client that produces: `platformatic` is the faster one and needs Node.js 22.22 or 24.6 and the package @platformatic/kafka 2.12.1; `kafkajs` runs everywhere; `auto` takes the first where it can run, and logs which.',
    whenToChange: 'Name one when all instances must run the same, or when one of them has a defect that you meet.',
  },
  {
    key: 'kafkaCompression',
    env: ['KAFKA_COMPRESSION'],
    flag: '--kafka-compression',
    kind: { type: 'choice', choices: ['none', 'gzip', 'snappy', 'lz4', 'zstd'] },
    default: 'none',
    scope: 'relay',
    group: 'Kafka',
    docs: 'Codec of the record batches; `snappy` and `lz4` need the fast client, `zstd` Node.js 22.15. Every consumer must know it: kafkajs reads only `none` and `gzip` without more packages.',
    whenToChange: 'Take `lz4` when all consumers read it: it saves disk and network of the brokers for little CPU.',
  },
  {
    key: 'kafkaCreateTopics',
    env: ['KAFKA_CREATE_TOPICS'],
    flag: '--kafka-create-topics',
    kind: { type: 'boolean' },
    default: 'false',
    scope: 'relay',
    group: 'Kafka',
    docs: 'Create a missing topic. Otherwise its facts wait, and the relay says which topic is missing.',
    whenToChange: 'In development, or where nobody creates topics beforehand.',
  },
  {
    key: 'kafkaTopicPartitions',
    env: ['KAFKA_TOPIC_PARTITIONS'],
    flag: '--kafka-topic-partitions',
    kind: { type: 'integer', min: 1, max: 100_000 },
    scope: 'relay',
    group: 'Kafka',
    docs: 'Partitions of a topic that the relay creates; without it, what the brokers have as their default.',
    whenToChange: 'Before the first fact: adding partitions later moves keys to other partitions.',
  },
  {
    key: 'kafkaTopicReplicationFactor',
    env: ['KAFKA_TOPIC_REPLICATION_FACTOR'],
    flag: '--kafka-topic-replication-factor',
    kind: { type: 'integer', min: 1, max: 32_767 },
    scope: 'relay',
    group: 'Kafka',
    docs: 'Copies of a topic that the relay creates; without it, what the brokers have as their default.',
    whenToChange: 'To 3 where the brokers have a default of 1.',
  },
  {
    key: 'deadLetterTopic',
    env: ['DEAD_LETTER_TOPIC'],
    flag: '--dead-letter-topic',
    kind: { type: 'text' },
    scope: 'relay',
    group: 'Kafka',
    docs: 'Topic for facts that can never be produced, with their reason; without one their lane is held, and a message that is not a fact halts the relay.',
    whenToChange:
      'Set it where one poisoned fact must not hold others up. It must exist, or `KAFKA_CREATE_TOPICS` be on.',
  },
  {
    key: 'deadLetterCauses',
    env: ['DEAD_LETTER_CAUSES'],
    flag: '--dead-letter-causes',
    kind: { type: 'list' },
    default: 'malformed,too_large,invalid_topic,refused',
    scope: 'relay',
    group: 'Kafka',
    docs: 'Causes that go to the dead-letter topic: `malformed`, `too_large`, `invalid_topic`, `refused`. The others hold their lane, or halt.',
    whenToChange: 'Leave one out to stop and look whenever it happens.',
  },
  {
    key: 'deadLetterKeys',
    env: ['DEAD_LETTER_KEYS'],
    flag: '--dead-letter-keys',
    kind: { type: 'choice', choices: ['continue', 'block-key'] },
    default: 'continue',
    scope: 'relay',
    group: 'Kafka',
    docs: 'What becomes of later facts of a dead-lettered key: `continue` produces them, `block-key` sends them after it, until it is resolved.',
    whenToChange: 'Take `block-key` where a consumer must not see later facts of a key without the earlier one.',
  },
  {
    key: 'exactlyOnce',
    env: ['EXACTLY_ONCE'],
    flag: '--exactly-once',
    kind: { type: 'boolean' },
    default: 'false',
    scope: 'relay',
    group: 'Kafka',
    docs: 'Experimental. Writes facts in Kafka transactions together with their position, so that a consumer with `isolation.level=read_committed` sees each fact exactly once, whatever crashes. All facts go one after another: one that is held (missing topic, record refused) holds all. Needs kafkajs; no routes with a handler; a consumer that does not read committed sees records of aborted transactions, too.',
    whenToChange:
      'When consumers cannot leave out duplicates by the id. It is slower, and consumers see facts only when their transaction is committed.',
  },
  {
    key: 'exactlyOnceTopic',
    env: ['EXACTLY_ONCE_TOPIC'],
    flag: '--exactly-once-topic',
    kind: { type: 'text' },
    default: 'factlib.positions',
    scope: 'relay',
    group: 'Kafka',
    docs: 'Topic of the positions, one key a slot: one partition, `cleanup.policy=compact`. The relay makes it with `KAFKA_CREATE_TOPICS`; otherwise it must exist.',
    whenToChange:
      'When relays of copies of one database cluster share a Kafka, or one slot must not wait for the open transaction of another.',
  },
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
    key: 'healthPort',
    env: ['WAL_HEALTH_PORT'],
    flag: '--health-port',
    kind: { type: 'integer', min: 0, max: 65_535 },
    default: '3001',
    scope: 'process',
    group: 'Operation',
    docs: 'Port of `/health` (ready: 200 or 503) and `/livez` (alive: 200); 0 takes a free one.',
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
