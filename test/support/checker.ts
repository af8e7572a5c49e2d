import { createHash } from 'node:crypto'
import { type Cluster, connectCluster, type FetchedMessage, PartitionReader } from './kafka-fetch.ts'
import { type CommittedFact, digestOf } from './load.ts'
import { waitFor } from './wait.ts'

// Compares what was committed with what is in Kafka, by header `event_id`. The topics have
// message.timestamp.type=LogAppendTime, so a record's timestamp is when Kafka had it.

/** A fact's first delivery, and what came after it. */
interface Delivered {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Milliseconds since 1970. */
  readonly atMs: number
  readonly key: string
  /** MD5 of the value. */
  readonly value: string
  /** MD5 of value and headers. */
  readonly whole: string
}

export interface Fault {
  readonly name: string
  /** Milliseconds since 1970 at which it was over, and delivery could begin again. */
  readonly overAtMs: number
}

export interface CheckResult {
  readonly facts: number
  readonly lost: number
  /** Delivered and never committed, or of a foreign prefix. */
  readonly phantom: number
  /** First deliveries of a key against its commit order. */
  readonly reordered: number
  readonly duplicates: number
  /** Duplicates that differ, and first deliveries that are not what was emitted. */
  readonly changed: number
  /**
   * From the end of a fault to the first delivery of a fact that was made after it (where there is none: of any), milliseconds;
   * the longest. Undefined without faults.
   */
  readonly recoveryMs: number | undefined
  /** A few examples of what is wrong. */
  readonly examples: readonly string[]
}

/** True when nothing is wrong; duplicates are allowed. */
export function isClean(result: CheckResult): boolean {
  return result.lost + result.phantom + result.reordered + result.changed === 0
}

/**
 * Reads the topics as they grow, and judges at the end.
 *
 * @example
 * const checker = await Checker.open(brokers, topics)
 * await checker.whenDelivered(truth)
 * const result = checker.judge({ truth, optional: load.optional, faults })
 */
export class Checker {
  readonly #cluster: Cluster
  readonly #readers: PartitionReader[]
  readonly #delivered = new Map<string, Delivered>()
  readonly #foreignTopics: ReadonlySet<string>
  #foreign = 0
  #duplicates = 0
  readonly #changed: string[] = []
  #withoutId = 0

  readonly #committed: boolean

  private constructor(cluster: Cluster, readers: PartitionReader[], foreign: string[], committed: boolean) {
    this.#cluster = cluster
    this.#committed = committed
    this.#readers = readers
    this.#foreignTopics = new Set(foreign)
  }

  /**
   * @param topics.foreign those that must stay empty.
   * @param topics.committed reads as a consumer with `isolation.level=read_committed` does. Default false.
   */
  static async open(
    brokers: readonly string[],
    topics: { readonly ours: readonly string[]; readonly foreign?: readonly string[]; readonly committed?: boolean },
  ): Promise<Checker> {
    const foreign = [...(topics.foreign ?? [])]
    const committed = topics.committed ?? false
    const names = [...topics.ours, ...foreign]
    const cluster = await connectCluster(brokers, names)
    const readers = names.flatMap((topic) =>
      cluster
        .findTopicPartitionMetadata(topic)
        .map(({ partitionId }) => new PartitionReader(cluster, topic, partitionId, committed)),
    )
    return new Checker(cluster, readers, foreign, committed)
  }

  /** A topic that did not exist before. */
  async addTopic(topic: string): Promise<void> {
    await this.#cluster.addMultipleTargetTopics([topic])
    for (const { partitionId } of this.#cluster.findTopicPartitionMetadata(topic))
      this.#readers.push(new PartitionReader(this.#cluster, topic, partitionId, this.#committed))
  }

  /** Different facts that are in Kafka, of those read. */
  get deliveredFacts(): number {
    return this.#delivered.size
  }

  get duplicates(): number {
    return this.#duplicates
  }

  /** When Kafka had a fact; undefined: not yet. */
  readonly deliveredAtMs = (id: string): number | undefined => this.#delivered.get(id)?.atMs

  has(id: string): boolean {
    return this.#delivered.has(id)
  }

  get partitionsWithRecords(): number {
    return this.#readers.filter(({ position }) => position > 0n).length
  }

  /** Reads on to the end as it is now. */
  async read(): Promise<void> {
    await this.#addNewPartitions()
    for (const reader of this.#readers) {
      for (;;) {
        const messages = await reader.next(0)
        for (const message of messages) this.#take(reader, message)
        if (messages.length === 0) break
      }
    }
  }

  /** Resolves when all of them are in Kafka; rejects, saying how many are missing, when not in time. Default 40,000 ms. */
  async whenDelivered(truth: readonly CommittedFact[], timeoutMs = 40_000): Promise<void> {
    await waitFor(
      async () => {
        await this.read()
        const missing = truth.filter(({ id }) => !this.#delivered.has(id))
        if (missing.length > 0) throw new Error(`${missing.length} of ${truth.length} are missing`)
        return true
      },
      { what: 'all facts to be in Kafka', timeoutMs, intervalMs: 100 },
    )
  }

  /** Resolves when so many different facts are in Kafka. */
  async whenCount(count: number, timeoutMs = 40_000): Promise<void> {
    await waitFor(
      async () => {
        await this.read()
        return this.#delivered.size >= count
      },
      { what: `${count} facts to be in Kafka`, timeoutMs, intervalMs: 50 },
    )
  }

  /** Resolves to the milliseconds from `sinceMs` (since 1970) to the first delivery of a fact that was made after it. */
  async whenRecovered(sinceMs: number, timeoutMs = 40_000): Promise<number> {
    return waitFor(
      async () => {
        await this.read()
        const recoveryMs = this.#recoveryMs(sinceMs)
        return recoveryMs === undefined ? undefined : Math.max(1, recoveryMs)
      },
      { what: 'facts to be delivered again', timeoutMs, intervalMs: 100 },
    )
  }

  judge(input: {
    readonly truth: readonly CommittedFact[]
    readonly optional?: ReadonlySet<string>
    readonly faults?: readonly Fault[]
  }): CheckResult {
    const { truth, optional = new Set(), faults = [] } = input
    const expected = new Map(truth.map((fact) => [fact.id, fact]))
    const lost = truth.filter(({ id }) => !this.#delivered.has(id))
    const phantoms = [...this.#delivered.keys()].filter((id) => !expected.has(id) && !optional.has(id))
    const altered = truth.filter(({ id, key, topic, digest }) => {
      const found = this.#delivered.get(id)
      return found && (found.value !== digest || found.key !== key || found.topic !== topic)
    })
    const reordered = this.#findReordered(truth)
    const recoveries = faults
      .map(({ overAtMs }) => this.#recoveryMs(overAtMs) ?? this.#recoveryMs(overAtMs, true))
      .filter((ms) => ms !== undefined)
    return {
      facts: truth.length,
      lost: lost.length,
      phantom: phantoms.length + this.#foreign + this.#withoutId,
      reordered: reordered.length,
      duplicates: this.#duplicates,
      changed: altered.length + this.#changed.length,
      recoveryMs: recoveries.length > 0 ? Math.max(...recoveries) : undefined,
      examples: [
        ...lost.slice(0, 3).map(({ id, key, sequence }) => `lost: ${id} (${key} #${sequence})`),
        ...phantoms.slice(0, 3).map((id) => `phantom: ${id}`),
        ...reordered.slice(0, 3),
        ...altered.slice(0, 3).map(({ id }) => `changed: ${id} is not what was emitted`),
        ...this.#changed.slice(0, 3).map((id) => `changed: the duplicate of ${id} differs`),
      ],
    }
  }

  async close(): Promise<void> {
    await this.#cluster.disconnect()
  }

  /** Of facts that were made after the fault, so that what was on its way already does not count. */
  #recoveryMs(sinceMs: number, ofAnyAge = false): number | undefined {
    let first: number | undefined
    for (const [id, { atMs }] of this.#delivered)
      if (atMs >= sinceMs && (first === undefined || atMs < first) && (ofAnyAge || madeAtMs(id) >= sinceMs))
        first = atMs
    return first === undefined ? undefined : first - sinceMs
  }

  #findReordered(truth: readonly CommittedFact[]): string[] {
    const keys = new Map<string, (Delivered & { readonly sequence: number })[]>()
    for (const { id, topic, key, sequence } of truth) {
      const found = this.#delivered.get(id)
      if (!found) continue
      const name = `${topic} ${key}`
      const list = keys.get(name)
      if (list) list.push({ ...found, sequence })
      else keys.set(name, [{ ...found, sequence }])
    }
    const wrong: string[] = []
    for (const [name, list] of keys) {
      list.sort((a, b) => a.sequence - b.sequence)
      for (let i = 1; i < list.length; i++) {
        const [before, after] = [list[i - 1], list[i]] as [(typeof list)[number], (typeof list)[number]]
        // In another partition (the topic grew) only the time tells.
        const inOrder = before.partition === after.partition ? before.offset < after.offset : before.atMs <= after.atMs
        if (!inOrder) wrong.push(`reordered: ${name} #${after.sequence} came before #${before.sequence}`)
      }
    }
    return wrong
  }

  async #addNewPartitions(): Promise<void> {
    const topics = new Set(this.#readers.map(({ topic }) => topic))
    await this.#cluster.refreshMetadata()
    for (const topic of topics) {
      const known = new Set(this.#readers.filter((one) => one.topic === topic).map(({ partition }) => partition))
      for (const { partitionId } of this.#cluster.findTopicPartitionMetadata(topic))
        if (!known.has(partitionId))
          this.#readers.push(new PartitionReader(this.#cluster, topic, partitionId, this.#committed))
    }
  }

  #take({ topic, partition }: PartitionReader, message: FetchedMessage): void {
    if (this.#foreignTopics.has(topic)) {
      this.#foreign++
      return
    }
    const id = message.headers['event_id']?.toString()
    if (id === undefined) {
      this.#withoutId++
      return
    }
    const value = message.value ?? Buffer.alloc(0)
    const headers = Object.entries(message.headers).map(([name, one]) => [name, one?.toString()])
    const delivered: Delivered = {
      topic,
      partition,
      offset: BigInt(message.offset),
      atMs: Number(message.timestamp),
      key: message.key?.toString() ?? '',
      value: digestOf(value),
      whole: createHash('md5').update(value).update(JSON.stringify(headers)).digest('base64'),
    }
    const before = this.#delivered.get(id)
    if (before) {
      this.#duplicates++
      if (before.whole !== delivered.whole || before.key !== delivered.key) this.#changed.push(id)
    }
    if (!before || delivered.atMs < before.atMs) this.#delivered.set(id, delivered)
  }
}

/** A UUIDv7 begins with its time, milliseconds since 1970. */
function madeAtMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

/** Rows as a table for a terminal, columns aligned. */
export function formatTable(rows: readonly Readonly<Record<string, string | number>>[]): string {
  const names = Object.keys(rows[0] ?? {})
  const cells = [names, ...rows.map((row) => names.map((name) => String(row[name])))]
  const widths = names.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
