import pg, { type ClientConfig } from 'pg'
import { LogicalReplicationService } from 'pg-logical-replication'
import { RelayHaltError } from '../../errors.ts'
import { formatLsn, type Lsn, toLsn, ZERO_LSN } from '../../lsn.ts'
import { EXIT } from '../../policy.ts'
import type { DatabaseTarget, RelayLogger, RelaySettings } from '../../types.ts'
import type { SourceEvents, SourceSession, SourceVitals } from '../source.ts'
import { decodePgoutput } from './pgoutput.ts'
import { type PreparedSlot, prepareSlot, type SimpleQueryClient } from './slot.ts'
import { SlotKeeper } from './slot-keeper.ts'
import type { RememberedSlot } from './slot-memory.ts'
import { StatusPacer } from './status-pacer.ts'

// One connection's stream over pg-logical-replication, which owns the socket and the frames. What it must not do is taken
// from it: its timer (it confirms what was merely received), its parser (views into reused buffers, throws in a socket
// callback), its reconnect (it starts from what it last received), its listener (below). So: acknowledgements by hand, frames
// read by ourselves and handed on synchronously, a new instance for each connection.
//
//   'w' XLogData   start u64 · walEnd u64 · time i64 · a pgoutput message
//   'k' keepalive  walEnd u64 · time i64 · reply requested u8

/** Stands in for `wal_sender_timeout = 0`, milliseconds. */
const NO_TIMEOUT_MS = 60_000

export type WalSourceOptions = Pick<
  RelaySettings,
  'slot' | 'publication' | 'slotCreate' | 'slotFailover' | 'acceptGap' | 'heartbeatMs'
> & {
  readonly database: DatabaseTarget
  readonly logger: RelayLogger
}

export type WalSessionOptions = WalSourceOptions & {
  readonly target: ClientConfig
  readonly events: SourceEvents
  /** What this process knows of the slot from an earlier connection. */
  readonly known: RememberedSlot | undefined
}

const XLOG_DATA = 0x77
const XLOG_DATA_HEADER_BYTES = 25
const KEEPALIVE = 0x6b
const KEEPALIVE_BYTES = 18

/** `pg`'s connection, as far as the stream is read, paused and ended; not in its types. */
interface PgConnection {
  readonly stream: {
    pause(): void
    resume(): void
    destroy(): void
    prependListener(event: 'data', listener: () => void): void
  }
  on(event: 'copyData', listener: (message: { readonly chunk: Buffer }) => void): void
  removeAllListeners(event: 'copyData'): void
}

export class WalSession implements SourceSession {
  readonly #options: WalSessionOptions
  readonly #service: LogicalReplicationService
  readonly #keeper: SlotKeeper
  readonly whenClosed: Promise<Error | undefined>
  #settleClosed!: (error: Error | undefined) => void
  #connection: PgConnection | undefined
  #backendPid: number | undefined
  #prepared: PreparedSlot | undefined
  #pacer = new StatusPacer(0)
  #timer: NodeJS.Timeout | undefined
  #confirmedLsn: Lsn = ZERO_LSN
  #over = false
  #paused = false
  #heardMs = performance.now()
  /** When the stream last brought something, or could again; not keepalives. */
  #streamedMs = performance.now()
  #reported = { lsn: ZERO_LSN, atMs: performance.now() }
  #pinged = false
  #onKeepaliveOnce: (() => void) | undefined

  constructor(options: WalSessionOptions) {
    this.#options = options
    this.whenClosed = new Promise((resolve) => {
      this.#settleClosed = resolve
    })
    this.#service = new LogicalReplicationService(options.target, {
      // The library's timer confirms the last RECEIVED position, whatever `auto` says: off.
      acknowledge: { auto: false, timeoutSeconds: 0 },
      flowControl: { enabled: false },
    })
    this.#keeper = new SlotKeeper({
      ...options,
      release: (lsn) => this.#release(lsn),
      onServerStopping: () => {
        if (!this.#over && this.#prepared) options.events.onServerStopping()
      },
      onHalt: (error) => this.#end(error),
    })
  }

  get connected(): boolean {
    return this.#connection !== undefined
  }

  get systemId(): bigint {
    return (this.#prepared as PreparedSlot).systemId
  }

  get startLsn(): Lsn {
    return (this.#prepared as PreparedSlot).startLsn
  }

  get timeline(): number {
    return (this.#prepared as PreparedSlot).timeline
  }

  get walEndLsn(): Lsn {
    return (this.#prepared as PreparedSlot).walEndLsn
  }

  /** For the next connection of this process: the slot was there. Where it stands may be another relay's doing by then. */
  get remembered(): RememberedSlot | undefined {
    const prepared = this.#prepared
    return prepared && { systemId: prepared.systemId, timeline: prepared.timeline, confirmedLsn: undefined }
  }

  open(signal: AbortSignal): Promise<void> {
    const plugin = {
      name: 'pgoutput',
      options: {},
      start: async (client: pg.Client) => {
        const command = await this.#begin(client)
        this.#listen(this.#connection as PgConnection)
        return client.query(command)
      },
      parse: () => {},
    }
    return new Promise<void>((resolve, reject) => {
      const abort = () => reject(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      const end = (error?: Error) => {
        signal.removeEventListener('abort', abort)
        reject(error ?? new Error('the replication connection was closed'))
        this.#end(error ?? new Error('the replication connection was closed by the server'))
      }
      this.#service.on('error', end)
      listenFromTheStart(this.#service, end)
      this.#service.on('start', () => {
        signal.removeEventListener('abort', abort)
        this.#keeper.adopt(this.#prepared as PreparedSlot)
        this.#options.events.onStart(this)
        this.#schedule()
        resolve()
      })
      this.#service.subscribe(plugin, this.#options.slot, '0/0').then(() => end(), end)
    })
  }

  /** On the connection that will stream: checks and set-up, then the command that starts it. */
  async #begin(client: pg.Client): Promise<string> {
    const inner = client as unknown as { connection: PgConnection; processID: number | null }
    this.#connection = inner.connection
    this.#backendPid = inner.processID ?? undefined
    const prepared = await prepareSlot(client as unknown as SimpleQueryClient, {
      ...this.#options,
      primaryOnly: this.#options.database.hosts.length > 1,
      recall: async () => (await this.#keeper.recall()) ?? this.#options.known,
    })
    this.#prepared = prepared
    this.#confirmedLsn = prepared.startLsn
    this.#pacer = new StatusPacer(prepared.walSenderTimeoutMs)
    this.#heardMs = performance.now()
    // 0/0: the server resumes from its own confirmed_flush_lsn. No `streaming`: with it a rolled-back savepoint's facts
    // could not be told apart.
    return (
      `START_REPLICATION SLOT ${pg.escapeIdentifier(this.#options.slot)} LOGICAL 0/0 (proto_version '1', ` +
      `publication_names ${quote(pg.escapeIdentifier(this.#options.publication))}, messages 'true')`
    )
  }

  get serverPatienceMs(): number {
    return (this.#prepared as PreparedSlot).walSenderTimeoutMs || NO_TIMEOUT_MS
  }

  abandon(error: Error): void {
    this.#end(error)
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#connection?.stream.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#heardMs = performance.now()
    this.#streamedMs = this.#heardMs
    this.#connection?.stream.resume()
  }

  confirm(confirmedLsn: Lsn, hasFacts: boolean): void {
    if (!this.#over && confirmedLsn > this.#confirmedLsn) this.#keeper.confirm(confirmedLsn, hasFacts)
  }

  heartbeat(content: Buffer): void {
    this.#keeper.heartbeatReturned(content)
  }

  get vitals(): SourceVitals {
    const { sentAtMs, failure, lastSeconds } = this.#keeper.heartbeat ?? {}
    // A stream that brings facts delivers, however long its queue is; while reading is paused nothing can come.
    const sinceMs = failure?.sinceMs ?? (sentAtMs === undefined ? undefined : Math.max(sentAtMs, this.#streamedMs))
    const overdueMs = sinceMs === undefined || this.#paused ? 0 : performance.now() - sinceMs
    return {
      reportedLsn: this.#reported.lsn,
      reportedAtMs: this.#reported.atMs,
      heartbeatSeconds: lastSeconds,
      heartbeatOverdueMs: overdueMs,
      heartbeatProblem:
        overdueMs === 0
          ? undefined
          : failure
            ? `PostgreSQL takes no heartbeat: ${failure.message}`
            : `a heartbeat written ${Math.round(overdueMs / 1_000)} s ago has not come back through the slot, nor anything else`,
      slot: this.#keeper.vitals,
    }
  }

  async holdsSlot(): Promise<boolean> {
    return !this.#over && (await this.#keeper.holderPid()) === this.#backendPid
  }

  async close(limitMs: number): Promise<void> {
    if (!this.#over && this.#prepared && limitMs > 0) {
      const limit = new Promise((resolve) => setTimeout(resolve, limitMs).unref())
      await Promise.race([this.#handOver(), this.whenClosed, limit])
    }
    this.#end(undefined)
    await this.#keeper.close()
  }

  /** Brings the last position to the server, and asks it over the other connection whether it has it. */
  async #handOver(): Promise<void> {
    await this.#keeper.flush()
    // Answers come behind what is still in the socket.
    this.resume()
    while (!this.#over) {
      // Not the answer is the proof (one may have been on its way before), nor the write: the slot itself is.
      const answered = new Promise<void>((resolve) => {
        this.#onKeepaliveOnce = resolve
      })
      this.#send(true)
      await answered
      if (this.#over || (await this.#keeper.slotConfirms(this.#confirmedLsn))) return
    }
  }

  #end(error: Error | undefined): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    this.#connection?.stream.destroy()
    // Late words of the old connection are of no interest, but must not be unhandled.
    this.#service.on('error', () => {})
    this.#service.stop().catch(() => {})
    void this.#keeper.close()
    this.#settleClosed(error)
  }

  /**
   * The library's own listener makes two texts, an event and a promise of each message: 0.3 µs, and a transaction of one
   * fact has three. Ours takes its place.
   */
  #listen(connection: PgConnection): void {
    connection.removeAllListeners('copyData')
    connection.on('copyData', ({ chunk }) => this.#onFrame(chunk))
    // Before the frames of the chunk.
    connection.stream.prependListener('data', () => {
      this.#heardMs = performance.now()
      this.#pinged = false
    })
  }

  #onFrame(frame: Buffer): void {
    if (this.#over) return
    try {
      if (frame[0] === XLOG_DATA) {
        this.#streamedMs = this.#heardMs
        decodePgoutput(frame, this.#options.events, XLOG_DATA_HEADER_BYTES)
      } else if (frame[0] === KEEPALIVE && frame.length === KEEPALIVE_BYTES)
        this.#onKeepalive(toLsn(frame.readBigUInt64BE(1)), frame[17] !== 0)
      else throw new RangeError(`unknown replication message 0x${(frame[0] ?? 0).toString(16)}`)
    } catch (error) {
      this.#end(
        error instanceof RelayHaltError
          ? error
          : new RelayHaltError('FACTLIB_STREAM_VIOLATION', EXIT.violation, (error as Error).message, { cause: error }),
      )
    }
  }

  #onKeepalive(walEndLsn: Lsn, shouldRespond: boolean): void {
    this.#onKeepaliveOnce?.()
    this.#options.events.onKeepalive(walEndLsn)
    if (shouldRespond && this.#pacer.requested(performance.now())) this.#options.events.onServerStopping()
    this.#schedule()
  }

  #release(lsn: Lsn): void {
    if (this.#over || lsn <= this.#confirmedLsn) return
    this.#confirmedLsn = lsn
    this.#pacer.want()
    this.#schedule()
  }

  #schedule(): void {
    if (this.#over || !this.#prepared) return
    clearTimeout(this.#timer)
    const due = this.#pacer.dueInMs(performance.now())
    if (due === 0) this.#send(false)
    else this.#timer = setTimeout(() => this.#onTimer(), Math.min(due, 1_000))
  }

  #onTimer(): void {
    // While reading is paused the server's words wait in the socket: the clock does not run.
    const silentMs = this.#paused ? 0 : performance.now() - this.#heardMs
    const timeoutMs = this.serverPatienceMs
    if (silentMs > 0.8 * timeoutMs) {
      this.#end(new Error(`the server was silent for ${Math.round(silentMs)} ms although it was asked`))
      return
    }
    if (silentMs > 0.4 * timeoutMs && !this.#pinged) {
      this.#pinged = true
      this.#send(true)
    } else this.#schedule()
  }

  #send(ping: boolean): void {
    if (this.#over) return
    const lsn = this.#confirmedLsn
    const nowMs = performance.now()
    this.#pacer.sent(nowMs)
    this.#reported = { lsn, atMs: nowMs }
    // acknowledge() sends lsn + 1. Minus one makes it exact: one more would lose the next adjacent commit.
    if (lsn > ZERO_LSN) void this.#service.acknowledge(formatLsn(toLsn(lsn - 1n)), ping)
    this.#schedule()
  }
}

/**
 * The library listens for errors of its client only once that is connected: an error behind the server's "ready" in the same
 * packet, of a postmaster that dies just then, would end the process.
 */
function listenFromTheStart(service: LogicalReplicationService, onError: (error: Error) => void): void {
  let client: pg.Client | null = null
  Object.defineProperty(service, '_client', {
    get: () => client,
    set: (next: pg.Client | null) => {
      client = next
      client?.on('error', onError)
    },
  })
}

/** A text in a replication command, which has no E'…': `pg` would write a backslash so. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
