import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { Fact } from '../src/fact.ts'
import type { DeadLetterSettings } from './dead-letter.ts'

/** One server of a `DatabaseTarget`. */
export interface DatabaseHost {
  readonly host: string
  readonly port: number
  /** libpq's `hostaddr`: connect here, `host` is then only the name to verify. */
  readonly address?: string
}

/** Where PostgreSQL is, after parsing any form that libpq accepts (relay/config/database-url.ts). */
export interface DatabaseTarget {
  /** Tried in order; a path (`/var/run/postgresql`) is a Unix socket's folder. At least one. */
  readonly hosts: readonly DatabaseHost[]
  readonly user: string
  /** Absent: `PGPASSWORD`, `~/.pgpass` or no password, as `pg` decides. Never logged. */
  readonly password?: string
  readonly database: string
  readonly applicationName: string
  /** libpq's `sslmode`; `prefer` and `allow` fall back to plain text when the server has no TLS. */
  readonly sslMode: 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'
  /** PEM text, not paths: the files were read when the settings were parsed. */
  readonly ssl?: {
    readonly ca?: string
    readonly cert?: string
    readonly key?: string
    readonly passphrase?: string
    readonly minVersion?: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'
    readonly maxVersion?: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'
  }
  /** libpq's `sslnegotiation=direct`; absent: the usual request first. */
  readonly sslNegotiation?: 'direct'
  /** libpq's `channel_binding=require`: SCRAM-SHA-256-PLUS where the server offers it. */
  readonly channelBinding?: true
  /** libpq's `options`, such as `-c search_path=app`. */
  readonly options?: string
  /** Milliseconds to establish a connection, 0 for no limit. Default 10,000. */
  readonly connectTimeoutMs: number
}

export interface KafkaTarget {
  readonly clientId: string
  /** `host:port`, at least one. */
  readonly brokers: readonly string[]
  /** `false`: plain text. TLS is 1.2 or newer. */
  readonly tls: false | TlsOptions
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
    readonly username: string
    readonly password: string
  }
  /** Which client produces; absent: `auto` (relay/kafka/open-sink.ts). */
  readonly client?: 'auto' | 'platformatic' | 'kafkajs'
  readonly compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  /** Create a missing topic with these; absent: hold that topic's lane and say so. */
  readonly createTopics?: { readonly partitions: number; readonly replicationFactor: number }
}

/** Everything the relay needs, complete and checked: relay/config makes it, relay/relay.ts only reads it. */
export interface RelaySettings {
  /** WAL message prefixes to relay, exact and case-sensitive; `['*']`: every prefix. */
  readonly prefixes: readonly string[]
  readonly database: DatabaseTarget
  readonly slot: string
  readonly publication: string
  /** Whether a missing slot is created: `first` = unless this (system, slot) is remembered. */
  readonly slotCreate: 'first' | 'always' | 'never'
  /** PostgreSQL 17+: a slot that is created follows a failover to a standby. */
  readonly slotFailover: boolean
  /** The operator's word: go on although facts may be missing between what was confirmed and what the slot has. */
  readonly acceptGap: boolean
  /** Milliseconds between heartbeats through the slot; 0: none. */
  readonly heartbeatMs: number
  readonly kafka: KafkaTarget
  /** Facts received but not yet durable: reading pauses above these. */
  readonly windowFacts: number
  readonly windowBytes: number
  /** Limits of one produce request; one lane has one request in flight. */
  readonly sendRecords: number
  readonly sendBytes: number
  /** Absent: what can never be produced holds its lane, and what cannot be read halts the relay. */
  readonly deadLetter?: DeadLetterSettings
  /** Experimental: facts and their position in Kafka transactions; absent: at least once. */
  readonly exactlyOnce?: { readonly topic: string }
  /** Records get a `traceparent` header made of their trace, where the emitter gave none. */
  readonly traceparentHeader: boolean
  /** Milliseconds that SIGTERM waits for the window to drain. */
  readonly drainTimeoutMs: number
}

/** One fact as it came out of the WAL, for handlers and `subscribeToSlot`. */
export interface ReceivedFact {
  readonly fact: Fact
  readonly prefix: string
  /** The message's LSN, `%X/%X`; data, not a position to resume from. */
  readonly lsn: string
  /** False for `pg_logical_emit_message(false, …)`. */
  readonly transactional: boolean
  /** Commit time in microseconds since 1970; undefined for a non-transactional message. */
  readonly commitTimeMicros: bigint | undefined
  /** The value bytes as they would go into Kafka. */
  readonly value: Uint8Array
}

/** First matching route wins; a fact that no route matches goes to `${prefix}.${aggregateType}`. */
export type Route = {
  /** Absent: any. */
  readonly prefix?: string
  readonly aggregateType?: string
  readonly eventType?: string
} & (
  | { /** Kafka topic. */ readonly topic: string; readonly handle?: never }
  | {
      /** Acknowledged when it resolves; called again with backoff, for ever, while it throws. One at a time per aggregate. */
      readonly handle: (received: ReceivedFact) => Promise<void> | void
      readonly topic?: never
    }
)

export interface RelayLogger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What the relay tells of itself; relay/ops/metrics.ts turns it into Prometheus metrics. All calls are synchronous and must not throw. */
export interface RelayObserver {
  consumed(aggregateType: string, eventType: string): void
  /** One fact became durable; `seconds` since it was received. */
  handled(aggregateType: string, eventType: string, seconds: number): void
  handlerFailed(aggregateType: string, eventType: string): void
  produced(topic: string, records: number, seconds: number): void
  produceFailed(topic: string, errorType: string): void
  replicationError(slot: string, errorType: string): void
  deadLettered?(cause: string, topic: string): void
  /** A message of another prefix, or under `*` one that is no fact, was passed over. */
  foreign?(): void
  /** Seconds from the commit of a fact until it was acknowledged; of one fact in each request. */
  delivered?(seconds: number): void
}

export type RelayHealth = { readonly ok: true } | { readonly ok: false; readonly reason: string }

/** Where a relay stands. */
export interface RelayStats {
  readonly phase: Relay['phase']
  readonly slotName: string
  /** Facts received and not yet durable, and their bytes in memory. */
  readonly pendingFacts: number
  readonly pendingBytes: number
  /** Queues of topic-partitions; `busy`: with something to send. */
  readonly lanes: { readonly open: number; readonly busy: number }
  /** How long the oldest fact has waited to be confirmed to PostgreSQL; 0: none waits. */
  readonly unconfirmedSeconds: number
  /** Age of the oldest committed transaction that is not durable in Kafka; 0: none waits. Absent: no stream. */
  readonly behindSeconds?: number
  /** What the last heartbeat took through the slot. Absent: none came back yet, or none is sent. */
  readonly heartbeatSeconds?: number
  /** The slot as PostgreSQL showed it at the last look, at most some 10 s ago. */
  readonly slot?: {
    readonly confirmedLagBytes: number
    readonly restartLagBytes: number
    /** What may still be written before PostgreSQL gives the slot up; undefined: no limit. */
    readonly walBudgetBytes: number | undefined
    /** How long that lasts at the present rate. */
    readonly walBudgetSeconds: number | undefined
  }
}

/** How the relay ended. `exitCode`: 0 stopped on request; others in relay/policy.ts. */
export interface RelayOutcome {
  readonly exitCode: number
  readonly error?: Error
}

export interface Relay extends AsyncDisposable {
  /** Resolves when facts are streaming (or, on standby, when it stands by); rejects when the relay cannot ever work. */
  start(): Promise<void>
  /** Reads to the end of the open transaction, drains, confirms, closes. Safe to call twice. */
  stop(): Promise<void>
  /** Never rejects. */
  whenStopped(): Promise<RelayOutcome>
  /**
   * Resolves once every fact before this LSN (`%X/%X`, `pg_current_wal_lsn()` say) is durable where it goes; PostgreSQL is
   * told soon after. Rejects when the relay ends before.
   */
  whenFlushed(lsn: string): Promise<void>
  /** Whether facts get through; also true for a relay that stands by. */
  health(): RelayHealth
  /** The same, and whether the heartbeat comes back through the slot. For `/readyz`. */
  readiness(): RelayHealth
  /** Whether this process makes progress: false only where a new process would help. For `/livez`. */
  liveness(): RelayHealth
  /** Where it stands; cheap, for metrics and displays. */
  stats(): RelayStats
  readonly phase: 'idle' | 'connecting' | 'streaming' | 'draining' | 'standby' | 'stopped' | 'failed'
}
