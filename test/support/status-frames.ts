import { scanEnvelope } from '../../src/envelope/scan.ts'
import type { Direction, ProxyTap } from './proxy.ts'
import { ConnectionReader } from './wire-frames.ts'

// Invariant 5 on the wire: a tap on the proxy between relay and PostgreSQL reads every XLogData that the server sends and every
// status frame that the relay answers with.
//
//   'w' XLogData    int64 start, int64 end, int64 time, pgoutput (B, M, C …)
//   'k' keepalive   int64 walEnd, int64 time, byte reply
//   'r' status      int64 written, int64 flushed, int64 applied, int64 time, byte reply

/** One status frame of the relay. */
export interface StatusFrame {
  /** Milliseconds since 1970, when the proxy read it. */
  readonly atMs: number
  /** The flushed position: what the server takes as confirmed. */
  readonly confirmedLsn: bigint
  /** Counts the replication connections, from 1. */
  readonly connection: number
}

/** A transaction, or one non-transactional message, as the server sent it. */
export interface SentUnit {
  /** Where its commit record begins; the message's own position for a non-transactional one. */
  readonly commitLsn: bigint
  /** What may be confirmed once all of it is durable. */
  readonly endLsn: bigint
  /** Ids of the facts in it that have our prefix. */
  readonly ids: readonly string[]
  readonly connection: number
}

export interface StatusWatchListener {
  /** The relay confirms; called before the frame is passed on. */
  onStatus?(frame: StatusFrame): void
  /** A whole unit with facts of ours has been sent. */
  onUnit?(unit: SentUnit): void
}

/**
 * Reads what passes between relay and PostgreSQL. What is wrong whatever Kafka says is in `problems` at once; what needs Kafka's
 * side is asked for with `findEarlyConfirmations`.
 *
 * @example
 * const watch = new StatusWatch(prefix)
 * const proxy = await startProxy({ port: postgres.port }, watch.tap)
 */
export class StatusWatch {
  readonly frames: StatusFrame[] = []
  readonly units: SentUnit[] = []
  /** Violations that the wire alone shows. */
  readonly problems: string[] = []
  /** Replication connections that came to streaming. */
  connections = 0
  readonly #prefix: string
  readonly #listeners = new Set<StatusWatchListener>()
  /** Every position that may be confirmed, whoever was told it first: a new connection starts where an old one ended. */
  readonly #allowed = new Set<bigint>([0n])

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** For `startProxy`. */
  readonly tap = (): ProxyTap => {
    const connection = new WatchedConnection(this.#prefix, this.#allowed, {
      onStreaming: () => ++this.connections,
      onUnit: (unit) => {
        if (unit.ids.length === 0) return
        this.units.push(unit)
        for (const listener of this.#listeners) listener.onUnit?.(unit)
      },
      onStatus: (frame) => {
        this.frames.push(frame)
        for (const listener of this.#listeners) listener.onStatus?.(frame)
      },
      onProblem: (problem) => this.problems.push(problem),
    })
    return (direction, chunk) => connection.read(direction, chunk)
  }

  /** Resolves when a frame confirms this position or a later one; before the frame is passed on. */
  whenConfirmed(lsn: bigint): Promise<StatusFrame> {
    return new Promise((resolve) => {
      const stop = this.listen({
        onStatus: (frame) => {
          if (frame.confirmedLsn < lsn) return
          stop()
          resolve(frame)
        },
      })
    })
  }

  /** The end of the last unit with facts of ours that the server has sent. */
  get lastEndLsn(): bigint {
    return this.units.reduce((last, { endLsn }) => (endLsn > last ? endLsn : last), 0n)
  }

  /** Frames of one connection within one second, the most there were. */
  get mostFramesPerSecond(): number {
    let most = 0
    let from = 0
    this.frames.forEach((frame, index) => {
      while (
        frame.atMs - (this.frames[from] as StatusFrame).atMs > 1_000 ||
        (this.frames[from] as StatusFrame).connection !== frame.connection
      )
        from++
      most = Math.max(most, index - from + 1)
    })
    return most
  }

  /** Tells of what passes from now on; returns how to end that. */
  listen(listener: StatusWatchListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Frames that confirmed a unit before Kafka had all of it.
   *
   * @param durableAtMs milliseconds since 1970 at which Kafka had a fact; undefined: never.
   */
  findEarlyConfirmations(durableAtMs: (id: string) => number | undefined): string[] {
    const units = this.units
      .map(({ endLsn, ids }) => ({
        endLsn,
        atMs: ids.reduce((last, id) => Math.max(last, durableAtMs(id) ?? Number.POSITIVE_INFINITY), 0),
      }))
      .sort((a, b) => (a.endLsn < b.endLsn ? -1 : 1))
    const ordered = [...this.frames].sort((a, b) => (a.confirmedLsn < b.confirmedLsn ? -1 : 1))
    const early: string[] = []
    let next = 0
    let allDurableAtMs = 0
    for (const { confirmedLsn, atMs } of ordered) {
      for (let unit = units[next]; unit && unit.endLsn <= confirmedLsn; unit = units[++next])
        allDurableAtMs = Math.max(allDurableAtMs, unit.atMs)
      if (atMs < allDurableAtMs)
        early.push(`${hex(confirmedLsn)} was confirmed ${Math.round(allDurableAtMs - atMs)} ms before all was durable`)
    }
    return early
  }
}

interface ConnectionListener {
  /** Returns the number of this connection. */
  onStreaming(): number
  onUnit(unit: SentUnit): void
  onStatus(frame: StatusFrame): void
  onProblem(problem: string): void
}

class WatchedConnection {
  readonly #prefix: string
  readonly #allowed: Set<bigint>
  readonly #listener: ConnectionListener
  readonly #reader: ConnectionReader
  #isReplication = false
  #connection = 0
  #open: string[] | undefined
  #confirmedLsn = 0n

  constructor(prefix: string, allowed: Set<bigint>, listener: ConnectionListener) {
    this.#prefix = prefix
    this.#allowed = allowed
    this.#listener = listener
    this.#reader = new ConnectionReader({
      onStartup: (parameters) => {
        this.#isReplication = /(^|\0)replication\0(database|true|on|1)\0/.test(parameters)
      },
      onFrontend: (tag, body) => {
        if (this.#connection > 0 && tag === 'd' && body[0] === 0x72) this.#onStatus(body)
      },
      onBackend: (tag, body) => this.#onBackend(tag, body),
    })
  }

  read(direction: Direction, chunk: Buffer): void {
    if (direction === 'toServer') this.#reader.toServer(chunk)
    else this.#reader.toClient(chunk)
  }

  #onBackend(tag: string, body: Buffer): void {
    if (!this.#isReplication) return
    // CopyBothResponse: from here on it streams.
    if (tag === 'W') this.#connection = this.#listener.onStreaming()
    // Answers to what the relay asks before it streams; the slot's own position is in one of them.
    else if (tag === 'D') for (const lsn of positionsInRow(body)) this.#allowed.add(lsn)
    else if (tag === 'd' && this.#connection > 0) this.#onCopyData(body)
  }

  #onCopyData(body: Buffer): void {
    if (body[0] === 0x6b) {
      // Inside a transaction the server's position is no place to stop at.
      if (this.#open === undefined) this.#allowed.add(body.readBigUInt64BE(1))
      return
    }
    if (body[0] !== 0x77) return
    const message = body.subarray(25)
    const kind = String.fromCharCode(message[0] as number)
    if (kind === 'B') this.#open = []
    else if (kind === 'C') this.#unit(message.readBigUInt64BE(2), message.readBigUInt64BE(10), this.#open ?? [])
    else if (kind === 'M') this.#onMessage(message)
  }

  #onMessage(message: Buffer): void {
    const prefixEnd = message.indexOf(0, 10)
    const ours = message.toString('utf8', 10, prefixEnd) === this.#prefix
    const content = message.subarray(prefixEnd + 5)
    const scan = ours ? scanEnvelope(content) : undefined
    const ids = scan?.ok && scan.idEnd > 0 ? [content.toString('utf8', scan.idStart, scan.idEnd)] : []
    if ((message.readUInt8(1) & 1) === 1) this.#open?.push(...ids)
    else {
      const lsn = message.readBigUInt64BE(2)
      this.#unit(lsn, lsn, ids)
    }
  }

  #unit(commitLsn: bigint, endLsn: bigint, ids: readonly string[]): void {
    this.#open = undefined
    this.#allowed.add(endLsn)
    this.#listener.onUnit({ commitLsn, endLsn, ids, connection: this.#connection })
  }

  #onStatus(body: Buffer): void {
    const confirmedLsn = body.readBigUInt64BE(9)
    if (!this.#allowed.has(confirmedLsn))
      this.#listener.onProblem(`${hex(confirmedLsn)} is the end of no transaction, message or idle stretch`)
    if (confirmedLsn < this.#confirmedLsn)
      this.#listener.onProblem(`${hex(confirmedLsn)} goes back from ${hex(this.#confirmedLsn)}`)
    this.#confirmedLsn = confirmedLsn
    this.#listener.onStatus({ atMs: Date.now(), confirmedLsn, connection: this.#connection })
  }
}

/** LSNs among the text columns of a DataRow: int16 count, then int32 length and bytes each. */
function positionsInRow(body: Buffer): bigint[] {
  const found: bigint[] = []
  let at = 2
  for (let left = body.readUInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at)
    at += 4
    if (length < 0) continue
    const text = body.toString('latin1', at, at + length)
    const [, high, low] = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/.exec(text) ?? []
    if (high !== undefined && low !== undefined) found.push((BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`))
    at += length
  }
  return found
}

function hex(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase()
}
