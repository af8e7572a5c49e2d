// What pgoutput sends, read by hand and independently of the relay's decoder: the tests' oracle.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html, protocol version 1:
//
//   Begin   'B' int64 final LSN, int64 commit time (µs since 2000), int32 xid
//   Message 'M' int8 flags (1 = transactional), int64 LSN, string prefix NUL, int32 length, bytes
//   Commit  'C' int8 flags, int64 commit LSN, int64 end LSN, int64 commit time

/** One `pg_logical_emit_message` as it came out of a slot. */
export interface SlotMessage {
  /** The 32-bit transaction id of Begin, in decimal; undefined for a non-transactional message. */
  readonly xid: string | undefined
  readonly transactional: boolean
  readonly prefix: string
  readonly content: Buffer
  /** The message's own. */
  readonly lsn: bigint
  /** Of its transaction; undefined for a non-transactional message. */
  readonly commitLsn: bigint | undefined
  /** The end of its transaction's commit record, which is what may be confirmed; undefined for a non-transactional message. */
  readonly endLsn: bigint | undefined
  /** Microseconds since 1970; undefined for a non-transactional message. */
  readonly commitTimeMicros: bigint | undefined
}

const MICROS_1970_TO_2000 = 946_684_800_000_000n

/**
 * The messages of a run of pgoutput frames, in the order in which they came.
 *
 * @throws when a transactional message stands outside Begin and Commit, or a transaction is not complete
 */
export function parseSlotMessages(frames: readonly Buffer[]): SlotMessage[] {
  const messages: SlotMessage[] = []
  let open: { xid: string; commitTimeMicros: bigint; messages: number[] } | undefined
  for (const frame of frames) {
    const tag = String.fromCharCode(frame[0] ?? 0)
    if (tag === 'B') {
      if (open) throw new Error('pgoutput: Begin inside a transaction')
      const commitTimeMicros = frame.readBigInt64BE(9) + MICROS_1970_TO_2000
      open = { xid: String(frame.readUInt32BE(17)), commitTimeMicros, messages: [] }
    } else if (tag === 'M') {
      const message = parseMessage(frame)
      if (message.transactional) {
        if (!open) throw new Error('pgoutput: a transactional message outside Begin and Commit')
        open.messages.push(messages.length)
        messages.push({ ...message, xid: open.xid, commitTimeMicros: open.commitTimeMicros })
      } else {
        messages.push(message)
      }
    } else if (tag === 'C') {
      if (!open) throw new Error('pgoutput: Commit without Begin')
      const commit = { commitLsn: frame.readBigUInt64BE(2), endLsn: frame.readBigUInt64BE(10) }
      for (const index of open.messages) messages[index] = { ...(messages[index] as SlotMessage), ...commit }
      open = undefined
    }
  }
  if (open) throw new Error('pgoutput: a transaction without its Commit')
  return messages
}

function parseMessage(frame: Buffer): SlotMessage {
  const prefixEnd = frame.indexOf(0, 10)
  const length = frame.readUInt32BE(prefixEnd + 1)
  const content = frame.subarray(prefixEnd + 5)
  if (content.length !== length) throw new Error(`pgoutput: a message of ${content.length} bytes says it has ${length}`)
  return {
    xid: undefined,
    transactional: (frame.readUInt8(1) & 1) === 1,
    prefix: frame.toString('utf8', 10, prefixEnd),
    content: Buffer.from(content),
    lsn: frame.readBigUInt64BE(2),
    commitLsn: undefined,
    endLsn: undefined,
    commitTimeMicros: undefined,
  }
}
