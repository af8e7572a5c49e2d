import type { SinkError } from './sink/sink.ts'

// The failure policy, in one place: what went wrong → what the relay does, and the sentence for whoever is on call.

export type SinkFault = Pick<SinkError, 'kind' | 'type' | 'message'>

/** Time, passed in so that what decides stays pure. */
export interface Clock {
  /** Monotonic milliseconds. */
  nowMs(): number
}

/**
 * - `retry`: the same batch again after `delayMs`.
 * - `renew`: a new producer, then the same batch again.
 * - `isolate`: one record at a time, to find the one at fault; a single record is held, never skipped.
 * - `hold`: an operator must act; looked at again after `delayMs`.
 */
export interface SinkDecision {
  readonly action: 'retry' | 'renew' | 'isolate' | 'hold'
  readonly delayMs: number
  /** Says what is wrong and what to do. */
  readonly hint: string
}

/** Exit codes of the process; documented in docs/operations.md. */
export const EXIT = {
  stopped: 0,
  badConfiguration: 2,
  /** The slot is gone or lost: facts may be gone with it. */
  slotGone: 10,
  /** The slot or publication cannot be used as it is. */
  slotUnusable: 11,
  /** The server cannot do logical replication as set up. */
  serverUnfit: 12,
  /** A fact that cannot be read, and no dead-letter topic. */
  malformedFact: 13,
  /** The stream contradicts what PostgreSQL promises, or a defect of the relay. */
  violation: 14,
  /** A port is taken, perhaps by a relay that is about to end: a new start may find it free. */
  portInUse: 75,
  internal: 70,
} as const

const HINTS: Record<SinkFault['kind'], string> = {
  retry: 'Kafka does not take records; the same records are sent again until it does',
  renew: 'the Kafka producer cannot go on; a new one takes over',
  record: 'Kafka refuses this record; it is held until the topic or broker accepts it (max.message.bytes?)',
  configuration:
    'Kafka refuses us; check credentials, ACLs (Write and Describe on the topic, IdempotentWrite) and versions',
  topicMissing: 'the topic does not exist; create it, or set KAFKA_CREATE_TOPICS=true',
}

/** So many empty acknowledgements in a row outlive a metadata refresh. */
const EMPTY_ACKNOWLEDGEMENTS = 5

/** 100 ms doubling to 5 s. Deterministic: one lane has one request, so there is no herd to spread. */
export function backoffMs(attempt: number, first = 100, most = 5_000): number {
  return Math.min(most, first * 2 ** Math.min(attempt - 1, 16))
}

/** What to do about a failed send or metadata look-up, the `attempt`-th in a row (from 1). */
export function decideSinkFault(fault: SinkFault, attempt: number): SinkDecision {
  const hint = `${HINTS[fault.kind]} [${fault.type}]`
  switch (fault.kind) {
    case 'renew':
      return { action: 'renew', delayMs: attempt === 1 ? 0 : backoffMs(attempt), hint }
    case 'record':
      return { action: 'isolate', delayMs: backoffMs(attempt, 500, 10_000), hint }
    case 'configuration':
      return { action: 'hold', delayMs: backoffMs(attempt, 500, 10_000), hint }
    case 'topicMissing':
      return { action: 'hold', delayMs: backoffMs(attempt, 200, 3_000), hint }
    default:
      // An acknowledgement that stays empty although metadata was read anew: this producer is stuck.
      if (fault.type === 'EMPTY_ACKNOWLEDGEMENT' && attempt % EMPTY_ACKNOWLEDGEMENTS === 0)
        return { action: 'renew', delayMs: backoffMs(attempt), hint: `${HINTS.renew} [${fault.type}]` }
      return { action: 'retry', delayMs: backoffMs(attempt), hint }
  }
}

export interface SourceDecision {
  readonly delayMs: number
  readonly hint: string
  /** PostgreSQL's SQLSTATE or the socket's code: usable as a metric label. */
  readonly type: string
}

/** SQLSTATEs that an operator must mend: wrong password, role, rights, database. */
const OPERATOR_STATES = /^(28...|42501|3D000)$/

/** What to do about a connection to PostgreSQL that failed or ended, the `attempt`-th in a row; halts are thrown as such. */
export function decideSourceFault(
  error: unknown,
  attempt: number,
  options: { readonly random?: () => number; readonly wasStreaming?: boolean } = {},
): SourceDecision {
  const { random = Math.random, wasStreaming = true } = options
  const code = (error as { code?: unknown } | undefined)?.code
  const type = typeof code === 'string' ? code : 'CONNECTION'
  if (type === 'FACTLIB_SLOT_IN_USE') return { delayMs: 300 + random() * 700, hint: 'standing by', type }
  if (type === 'FACTLIB_FENCED')
    return {
      // Long enough for the other one to be seen on the slot; it is not fought over.
      delayMs: backoffMs(attempt, 1_000, 15_000) * (1 + random()),
      hint: 'another relay writes for this slot; letting go of it',
      type,
    }
  if (type === '42501' && /permission denied for database/.test(String((error as Error).message)))
    return {
      delayMs: backoffMs(attempt, 2_000, 15_000),
      hint: 'the role may not create the publication: GRANT CREATE ON DATABASE to it, or run factlib-relay setup as an administrator',
      type,
    }
  if (OPERATOR_STATES.test(type))
    return {
      delayMs: backoffMs(attempt, 2_000, 15_000),
      hint: 'PostgreSQL refuses us; check user, password, database, pg_hba.conf and the REPLICATION right of the role',
      type,
    }
  const delayMs = backoffMs(attempt, 100, 10_000)
  return {
    delayMs: delayMs * (0.75 + random() * 0.5),
    hint: wasStreaming
      ? 'the connection to PostgreSQL is gone; connecting again'
      : 'no connection to PostgreSQL yet; trying again',
    type,
  }
}
