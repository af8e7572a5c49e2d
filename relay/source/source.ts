import type { Lsn } from '../lsn.ts'

/**
 * What a source tells, in the order of the stream, synchronously. The receiver never throws, and copies of `content`
 * what it keeps: the view is valid during the call only.
 */
export interface SourceEvents {
  /** Streaming starts; comes before everything else of this connection. */
  onStart(session: SourceSession): void
  /**
   * @param finalLsn where the transaction's commit record begins: the same at each delivery, and increasing.
   * @param commitTimeMicros microseconds since 1970.
   */
  onBegin(finalLsn: Lsn, commitTimeMicros: bigint): void
  onMessage(transactional: boolean, messageLsn: Lsn, prefix: string, content: Buffer): void
  /** @param endLsn the position to confirm once everything of this transaction is durable. */
  onCommit(endLsn: Lsn): void
  /** Everything before `walEnd` was sent. */
  onKeepalive(walEnd: Lsn): void
  /** The server is shutting down and waits for us: drain, then close. */
  onServerStopping(): void
}

/** One connection that streams. */
export interface SourceSession {
  /** PostgreSQL's system identifier; part of derived ids. */
  readonly systemId: bigint
  /** Of the server's WAL; another one after a failover. */
  readonly timeline: number
  /** The slot's `confirmed_flush_lsn` when streaming started. */
  readonly startLsn: Lsn
  /** The end of the server's WAL, on its disk, shortly before streaming started. */
  readonly walEndLsn: Lsn
  /** Milliseconds of silence after which the server gives the slot to somebody else. */
  readonly serverPatienceMs: number
  /** Stops reading from the socket; status goes on, so the server does not time out. */
  pause(): void
  resume(): void
  /**
   * Reports this position as durable from now on; sent soon (at most 10 a second), not at once.
   *
   * @param hasFacts whether facts became durable, or the position moved over what is not ours.
   */
  confirm(confirmedLsn: Lsn, hasFacts: boolean): void
  /** Asks the server, over another connection, whether this connection still holds the slot. Rejects when it cannot tell. */
  holdsSlot(): Promise<boolean>
  /** Sends the last confirmed position, waits up to `limitMs` for proof that the server has it, and closes. Never rejects. */
  close(limitMs: number): Promise<void>
  /** Closes at once, because of this error. */
  abandon(error: Error): void
  /** A message under the heartbeat's prefix came: ours, or another relay's. `content` is valid during the call only. */
  heartbeat(content: Buffer): void
  /** What it knows of itself now; cheap. */
  readonly vitals: SourceVitals
  /** Settles when the session is over: undefined after `close`, else why. Never rejects. */
  readonly whenClosed: Promise<Error | undefined>
}

/** For health and metrics. Times are monotonic milliseconds. */
export interface SourceVitals {
  /** The position of the last status frame. */
  readonly reportedLsn: Lsn
  readonly reportedAtMs: number
  /** Seconds that the last heartbeat took through the slot; undefined: none came back yet, or none is sent. */
  readonly heartbeatSeconds: number | undefined
  /** How long the heartbeat under way, or a way to write one, has been missed while nothing else came either; 0: not. */
  readonly heartbeatOverdueMs: number
  /** Why, in words; undefined while nothing is overdue. */
  readonly heartbeatProblem: string | undefined
  /** The last look at the slot, at most some 10 s old; undefined: not yet. */
  readonly slot: SlotVitals | undefined
}

export interface SlotVitals {
  readonly atMs: number
  /** WAL between the slot's confirmed position and the end of the WAL. */
  readonly confirmedLagBytes: number
  /** WAL that PostgreSQL keeps for the slot. */
  readonly restartLagBytes: number
  /** WAL that may still be written before PostgreSQL gives the slot up; undefined: no limit. */
  readonly walBudgetBytes: number | undefined
  /** How long that lasts at the present rate, seconds; undefined: no limit, or nothing is written. */
  readonly walBudgetSeconds: number | undefined
}

/** Where facts come from. */
export interface Source {
  /**
   * Resolves when facts can come.
   *
   * @throws SlotInUseError another relay works; SlotError nothing but an operator can help; anything else: try again.
   */
  open(events: SourceEvents, signal: AbortSignal): Promise<SourceSession>
}
