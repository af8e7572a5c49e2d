import { SinkError, type SinkFaultKind, type SinkRecord } from '../../relay/sink/sink.ts'
import { FencedError, type TransactionalSend, type TransactionalSink } from '../../relay/sink/transactional-sink.ts'

/**
 * How a commit ends:
 *
 * - `ok`: committed, and said so.
 * - `refused`: nothing was written.
 * - `unsaid`: committed, but the answer was lost.
 * - `late`: the answer was lost, and the transaction is open: it is committed by the coordinator before the next fence is
 *   over, unless something is fenced before.
 * - `fenced`: another relay has our id.
 */
export type CommitEnd =
  | 'ok'
  | 'refused'
  | 'unsaid'
  | 'late'
  | 'fenced'
  | { readonly fault: SinkFaultKind; type?: string }

/** What Kafka's transactions promise, in memory; how each commit ends is the test's choice. */
export class ScriptedTransactions implements TransactionalSink {
  readonly name = 'scripted'
  /** What a read-committed reader sees, transaction by transaction. */
  readonly committed: (readonly TransactionalSend[])[] = []
  readonly attempts: (readonly TransactionalSend[])[] = []
  /** `fence`, `read`, `commit`, in their order. */
  readonly calls: string[] = []
  readonly fencedIds: string[] = []
  readonly counts = new Map<string, number>()
  readonly positions = new Map<string, Buffer>()
  readonly created: { topic: string; partitions: number; config?: object }[] = []
  positionTopic = true
  end: (sends: readonly TransactionalSend[]) => CommitEnd = () => 'ok'
  /** Resolved by the test before a commit goes on; absent: at once. */
  gate: Promise<void> | undefined
  fenceFails = 0
  closed = false
  #late: readonly TransactionalSend[] | undefined
  #canWrite = false

  async open(): Promise<void> {}
  async check(): Promise<void> {}

  async partitionCount(topic: string): Promise<number> {
    const count = this.counts.get(topic)
    if (count === undefined) throw missing(topic)
    return count
  }

  async createTopic(topic: string, partitions: number, _copies: number, config?: object): Promise<void> {
    this.created.push({ topic, partitions, ...(config && { config }) })
    this.counts.set(topic, partitions)
    this.positionTopic = true
  }

  async fence(transactionalId: string): Promise<void> {
    this.calls.push('fence')
    this.fencedIds.push(transactionalId)
    if (this.fenceFails-- > 0) throw new SinkError('retry', 'ECONNREFUSED', 'no broker')
    // The coordinator had begun to commit it: fencing waits until it has.
    if (this.#late) this.#apply(this.#late)
    this.#late = undefined
    this.#canWrite = true
  }

  async readLast(topic: string, key: string): Promise<Buffer | undefined> {
    this.calls.push('read')
    if (!this.positionTopic) throw missing(topic)
    return this.positions.get(key)
  }

  async commit(sends: readonly TransactionalSend[]): Promise<void> {
    this.calls.push('commit')
    if (!this.#canWrite) throw new Error('a commit without a fence before it')
    this.attempts.push(sends)
    await this.gate
    const end = this.end(sends)
    if (end === 'ok') return this.#apply(sends)
    this.#canWrite = false
    if (end === 'fenced') throw new FencedError('another relay has our id')
    if (end === 'unsaid') this.#apply(sends)
    if (end === 'late') this.#late = sends
    const fault = typeof end === 'string' ? { fault: 'retry' as const, type: 'ECONNRESET' } : end
    throw new SinkError(fault.fault, fault.type ?? fault.fault.toUpperCase(), 'the commit failed')
  }

  async close(): Promise<void> {
    this.closed = true
  }

  /** Ids of facts in the order in which they were committed. */
  get ids(): string[] {
    return this.records((topic) => topic !== POSITIONS).map(({ headers }) => headers['event_id'] as string)
  }

  records(ofTopic: (topic: string) => boolean): SinkRecord[] {
    return this.committed.flat().flatMap(({ topic, records }) => (ofTopic(topic) ? records : []))
  }

  #apply(sends: readonly TransactionalSend[]): void {
    this.committed.push(sends)
    for (const { topic, records } of sends)
      if (topic === POSITIONS) for (const { key, value } of records) this.positions.set(key.toString(), value)
  }
}

export const POSITIONS = 'factlib.positions'

function missing(topic: string): SinkError {
  return new SinkError('topicMissing', 'UNKNOWN_TOPIC_OR_PARTITION', `topic "${topic}" does not exist`)
}
