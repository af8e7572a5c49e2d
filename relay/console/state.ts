// What the console's server tells its page, section by section; no module of Node may be imported here. A section is sent
// again when it has changed. Sizes are bytes, moments are milliseconds since 1970.

/** The sections, each an event of the stream under its name. */
export interface ConsoleSections {
  readonly relay: RelaySection
  readonly slot: SlotSection
  readonly topics: TopicsSection
  readonly deadLetters: DeadLettersSection
  readonly facts: FactsSection
  readonly doctor: DoctorSection
  /** Once, before the process ends. */
  readonly ended: EndedSection
}

export type SectionName = keyof ConsoleSections

export interface RelaySection {
  readonly version: string
  readonly slot: string
  readonly prefixes: readonly string[]
  readonly startedAtMs: number
  readonly phase: string
  /** Null: facts get through. */
  readonly notOk: string | null
  /** Age of the oldest fact that is not in Kafka; 0: none waits; null: not known. */
  readonly behindSeconds: number | null
  /** True: the slot stands before the first look of this process, so it is the least that it can be. */
  readonly behindIsAtLeast: boolean
  /** Received and not yet in Kafka. */
  readonly pendingFacts: number
  readonly pendingBytes: number
  /** What the last heartbeat took through the slot; null: none came back yet, or none is sent. */
  readonly heartbeatSeconds: number | null
  /** Facts since the start of the process. */
  readonly receivedCount: number
  readonly deliveredCount: number
  /** What failed within the last minute, the latest first. */
  readonly faults: readonly {
    readonly side: 'kafka' | 'postgres'
    readonly type: string
    readonly count: number
    readonly lastAtMs: number
  }[]
  /** A token is set: dead letters can be requeued from the page. */
  readonly mayRequeue: boolean
  /** Payloads are kept, and sent when asked for. */
  readonly hasPayloads: boolean
}

/** One second. Null: not known. */
export interface Sample {
  readonly atMs: number
  readonly received: number
  readonly delivered: number
  readonly lagBytes: number | null
}

export interface SlotSection {
  /** Why PostgreSQL cannot be asked; null: it can. What follows is then from the last answer. */
  readonly failure: string | null
  readonly exists: boolean
  readonly walStatus: string | null
  readonly keptBytes: number
  readonly lagBytes: number
  /** `max_slot_wal_keep_size`; null: no limit. */
  readonly limitBytes: number | null
  readonly leftBytes: number | null
  /** At the rate of the last minute; null: nothing is written, or there is no limit. */
  readonly leftSeconds: number | null
  readonly walBytesPerSecond: number
  readonly findings: readonly { readonly code: string; readonly message: string }[]
  readonly peers: readonly Peer[]
}

/** Who is connected: the relay that holds the slot, others that stand by, and PostgreSQL's own standbys. */
export interface Peer {
  readonly role: 'holds the slot' | 'stands by' | 'standby server'
  readonly name: string
  readonly address: string
  readonly sinceMs: number | null
  readonly detail: string
}

export interface TopicsSection {
  readonly topics: readonly {
    readonly topic: string
    readonly count: number
    readonly perSecond: number
    readonly last: {
      readonly id: string
      readonly eventType: string
      readonly key: string
      readonly atMs: number
    }
  }[]
  /** Beyond those that are kept. */
  readonly omitted: number
}

export interface DeadLettersSection {
  /** Null: `DEAD_LETTER_TOPIC` is not set. */
  readonly topic: string | null
  /** Null: not looked yet. */
  readonly lookedAtMs: number | null
  readonly failure: string | null
  readonly openCount: number
  /** The topic holds more than was looked through: older ones may be open, too. */
  readonly isPartial: boolean
  /** The latest first. */
  readonly open: readonly {
    readonly id: string
    readonly cause: string
    readonly detail: string
    readonly topic: string
    readonly key: string
    readonly attempts: number
    readonly atMs: number
  }[]
}

export interface FactsSection {
  /** The latest first. */
  readonly facts: readonly {
    readonly id: string
    readonly topic: string
    readonly aggregateType: string
    readonly aggregateId: string
    readonly eventType: string
    readonly lsn: string
    readonly bytes: number
    readonly atMs: number
    /** From the commit until Kafka had it; null: not of a transaction. */
    readonly latencyMs: number | null
    readonly hasPayload: boolean
  }[]
}

export interface DoctorSection {
  readonly isRunning: boolean
  /** Null: not run yet. */
  readonly ranAtMs: number | null
  readonly failure: string | null
  readonly findings: readonly {
    readonly code: string
    readonly level: 'ok' | 'unknown' | 'warning' | 'problem'
    readonly area: string
    readonly what: string
    readonly why: string | null
    readonly remedy: string | null
  }[]
}

export interface EndedSection {
  readonly exitCode: number
  /** Null: it was told to stop. */
  readonly reason: string | null
}
