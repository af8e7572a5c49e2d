import { type ErrorCodeEntry, FactlibError } from '../src/errors.ts'

/** The codes of the relay; same form as the core's table. */
export const RELAY_ERROR_CODES = {
  FACTLIB_SLOT_IN_USE: {
    className: 'SlotInUseError',
    meaning: 'Another relay streams from the slot; this one stands by.',
    remedy: 'None: it takes over when the other one ends.',
  },
  FACTLIB_SLOT_GONE: {
    className: 'RelayHaltError',
    meaning: 'The slot was there and is gone, or PostgreSQL invalidated it: facts since then cannot be read any more.',
    remedy: 'Find out who dropped it. Recover the missed facts from the tables, then start with SLOT_CREATE=always.',
  },
  FACTLIB_SLOT_MISSING: {
    className: 'RelayHaltError',
    meaning: 'The slot does not exist and SLOT_CREATE=never.',
    remedy: "Create it: SELECT pg_create_logical_replication_slot('<slot>', 'pgoutput').",
  },
  FACTLIB_SLOT_UNUSABLE: {
    className: 'RelayHaltError',
    meaning: 'A slot of this name exists but is of another kind, plugin or database, temporary, or two-phase.',
    remedy: 'Set REPLICATION_SLOT_NAME to a slot of its own, or drop this one if nothing uses it.',
  },
  FACTLIB_PUBLICATION_MISSING: {
    className: 'RelayHaltError',
    meaning: 'The slot exists but its publication does not; decoding would fail at the first change.',
    remedy:
      'Create the publication again and restart: CREATE PUBLICATION <name>. Up to PostgreSQL 17 the slot may need to be recreated.',
  },
  FACTLIB_SYNC_STANDBY: {
    className: 'RelayHaltError',
    meaning: 'PostgreSQL counts the relay as a synchronous standby: every COMMIT would wait for Kafka.',
    remedy: "Take the relay's application_name, or `*`, out of synchronous_standby_names.",
  },
  FACTLIB_SERVER_UNFIT: {
    className: 'RelayHaltError',
    meaning: 'The server is older than PostgreSQL 14, wal_level is not logical, or it is a connection pooler.',
    remedy: 'Set wal_level=logical and restart PostgreSQL; point the relay at PostgreSQL itself, not at a pooler.',
  },
  FACTLIB_MALFORMED_FACT: {
    className: 'RelayHaltError',
    meaning:
      'A message with our prefix is not a fact. Skipping it would be a silent loss, so the relay stops before it.',
    remedy: 'Find the emitter of the message at that LSN. What comes after it waits in the slot.',
  },
  FACTLIB_FENCED: {
    className: 'FencedByOtherRelayError',
    meaning: 'With EXACTLY_ONCE: another relay writes under the transactional id of this slot; this one lets go of it.',
    remedy:
      'None where that relay took the slot over. If it comes again and again, two relays read copies of one database cluster: give each its own EXACTLY_ONCE_TOPIC and slot name.',
  },
  FACTLIB_POSITION_UNUSABLE: {
    className: 'RelayHaltError',
    meaning:
      "With EXACTLY_ONCE: the position kept in Kafka is unreadable, or beyond the end of PostgreSQL's WAL, because the database was put back to an earlier state.",
    remedy:
      'Find out what happened. Then start once with --accept-gap (where it lies ahead), or give the relay another EXACTLY_ONCE_TOPIC.',
  },
  FACTLIB_STREAM_VIOLATION: {
    className: 'RelayHaltError',
    meaning: 'The replication stream is not what PostgreSQL promises. The slot keeps its position.',
    remedy: 'Report it with the server version and the log around it.',
  },
} as const satisfies Record<string, ErrorCodeEntry>

/** Another relay streams from the slot. */
export class SlotInUseError extends FactlibError {
  static override readonly kind: string = 'SlotInUseError'

  constructor(slot: string, options?: ErrorOptions) {
    super('FACTLIB_SLOT_IN_USE', `replication slot "${slot}" is in use by another connection`, options)
  }
}

/** Another relay writes under this slot's transactional id. */
export class FencedByOtherRelayError extends FactlibError {
  static override readonly kind: string = 'FencedByOtherRelayError'

  constructor(slot: string, options?: ErrorOptions) {
    super('FACTLIB_FENCED', `another relay has taken over the transactions of slot "${slot}"`, options)
  }
}

/** Nothing that the relay can do helps: it stops with an exit code of its own, and the slot keeps its position. */
export class RelayHaltError extends FactlibError {
  static override readonly kind: string = 'RelayHaltError'
  readonly exitCode: number

  constructor(code: keyof typeof RELAY_ERROR_CODES, exitCode: number, message: string, options?: ErrorOptions) {
    super(code, message, options)
    this.exitCode = exitCode
  }
}
