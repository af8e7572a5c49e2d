import type { Entry } from './entry.ts'
import type { Clock, SinkFault } from './policy.ts'
import type { SinkRecord } from './sink/sink.ts'
import type { TransactionalSend, TransactionalSink } from './sink/transactional-sink.ts'
import { sayCreated } from './topic-creation.ts'
import type { RelayLogger, RelaySettings } from './types.ts'

/** A fact and what is written for it: itself, or its dead letter, perhaps in parts. */
export interface Planned {
  readonly topic: string
  readonly entries: readonly Entry[]
}

export interface PlannerOptions {
  readonly sink: TransactionalSink
  readonly settings: Pick<RelaySettings, 'sendRecords' | 'sendBytes' | 'kafka'>
  readonly clock: Clock
  readonly logger: RelayLogger
}

/** How long a topic's partition count is believed, milliseconds. */
const COUNT_AGE_MS = 30_000

/**
 * From facts in the order of the stream to what one Kafka transaction sends: for each topic-partition its records, in
 * order, in requests within the limits. A count that grew holds from one transaction to the next: everything before is
 * committed then, so a key that moves does not overtake itself.
 */
export class TransactionPlanner {
  readonly #options: PlannerOptions
  readonly #counts = new Map<string, { readonly count: number; readonly readMs: number }>()

  constructor(options: PlannerOptions) {
    this.#options = options
  }

  /** Throws a SinkError when a topic's partitions cannot be told. */
  async plan(batch: readonly Planned[]): Promise<TransactionalSend[]> {
    const lanes = new Map<string, { readonly count: number; readonly partitions: Map<number, Entry[]> }>()
    for (const { topic, entries } of batch) {
      let lane = lanes.get(topic)
      if (!lane) {
        lane = { count: await this.#count(topic), partitions: new Map() }
        lanes.set(topic, lane)
      }
      const { count, partitions } = lane
      for (const entry of entries) {
        const partition = entry.keyHash % count
        const records = partitions.get(partition)
        if (records) records.push(entry)
        else partitions.set(partition, [entry])
      }
    }
    const timestampMs = Date.now()
    return [...lanes].flatMap(([topic, { partitions }]) =>
      [...partitions].flatMap(([partition, entries]) =>
        this.#requests(entries).map((request) => ({ topic, partition, records: toRecords(request, timestampMs) })),
      ),
    )
  }

  /** After a fault: metadata may be what is wrong. */
  forget(): void {
    this.#counts.clear()
  }

  async #count(topic: string): Promise<number> {
    const { sink, settings, clock, logger } = this.#options
    const known = this.#counts.get(topic)
    if (known && clock.nowMs() - known.readMs < COUNT_AGE_MS) return known.count
    let count: number
    try {
      count = await sink.partitionCount(topic)
    } catch (error) {
      const create = settings.kafka.createTopics
      if ((error as SinkFault).kind !== 'topicMissing' || !create) throw error
      await sink.createTopic(topic, create.partitions, create.replicationFactor)
      sayCreated(logger, topic, settings.kafka)
      count = await sink.partitionCount(topic)
    }
    // Names come from data.
    if (this.#counts.size > 10_000) this.#counts.clear()
    this.#counts.set(topic, { count, readMs: clock.nowMs() })
    return count
  }

  #requests(entries: readonly Entry[]): Entry[][] {
    const { sendRecords, sendBytes } = this.#options.settings
    const requests: Entry[][] = []
    let bytes = 0
    for (const entry of entries) {
      const last = requests.at(-1)
      if (!last || last.length >= sendRecords || bytes + entry.bytes > sendBytes) {
        requests.push([entry])
        bytes = entry.bytes
      } else {
        last.push(entry)
        bytes += entry.bytes
      }
    }
    return requests
  }
}

function toRecords(entries: readonly Entry[], timestampMs: number): SinkRecord[] {
  return entries.map(({ key, value, headers }) => ({ key, value, headers, timestampMs }))
}
