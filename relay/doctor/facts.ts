import type { SlotInspection } from '../source/wal/guardian.ts'
import type { RememberedSlot } from '../source/wal/slot-memory.ts'

// What the doctor's probes bring home, and what its checks make of it. The probes ask and change nothing; the checks are
// pure: facts in, findings out.

/** `problem`: the relay cannot work, or facts are lost; `warning`: it works, and somebody should look. */
export type FindingLevel = 'ok' | 'unknown' | 'warning' | 'problem'

export interface Finding {
  /** Stable: scripts and tests name it. */
  readonly code: string
  readonly level: FindingLevel
  readonly area: 'postgres' | 'slot' | 'kafka' | 'topics' | 'clock'
  readonly what: string
  /** What happens if nobody acts. */
  readonly why?: string
  /** The command, setting or statement that mends it. */
  readonly remedy?: string
}

/** Whether a step worked, with the driver's own words when not. */
export type Outcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: string; readonly message: string; readonly hint?: 'pooler' | undefined }

/** What the relay would do, as far as the checks need it. */
export interface DoctorNames {
  readonly slot: string
  readonly publication: string
  readonly role: string
  readonly database: string
  readonly applicationName: string
  readonly host: string
  readonly port: number
  readonly slotCreate: 'first' | 'always' | 'never'
  readonly acceptGap: boolean
  /** Messages that are not facts go to the dead-letter topic. */
  readonly keepsMalformed: boolean
}

export interface PostgresFacts {
  readonly connect: Outcome
  /** IDENTIFY_SYSTEM over a replication connection; undefined: not tried. */
  readonly replication?: Outcome
  readonly server?: ServerFacts
  readonly role?: RoleFacts
  readonly slot?: SlotFacts | undefined
  readonly inspection?: SlotInspection
  readonly memory?: MemoryFacts
  readonly clock?: ClockFacts
  readonly peek?: PeekFacts
}

export interface ServerFacts {
  /** `server_version_num`. */
  readonly version: number
  readonly walLevel: string
  readonly isStandby: boolean
  readonly maxSlots: number
  readonly usedSlots: number
  readonly maxSenders: number
  readonly usedSenders: number
  /** Bytes; undefined: no limit. */
  readonly maxSlotWalKeepBytes: number | undefined
  /** Seconds, 0: never. */
  readonly idleTimeoutSeconds: number
  readonly walSenderTimeoutMs: number
  readonly synchronousStandbyNames: string
  readonly syncReplicationSlots: boolean
  readonly published: boolean
  readonly publishedTables: number
}

export interface RoleFacts {
  readonly mayReplicate: boolean
  readonly seesStatistics: boolean
  readonly mayCreate: boolean
}

export interface SlotFacts {
  readonly slotType: string
  readonly plugin: string | null
  readonly database: string | null
  readonly temporary: boolean
  readonly twoPhase: boolean
  readonly walStatus: string | null
  readonly invalidation: string | null
  readonly safeWalBytes: number | null
  readonly failover: boolean | null
  readonly activePid: number | null
  readonly holder: string | null
}

export interface MemoryFacts {
  readonly exists: boolean
  readonly mayUse: boolean
  readonly remembered: RememberedSlot | undefined
  /** In words; undefined: none, or not known. */
  readonly gap: string | undefined
}

/** How far the other's clock is ahead of ours, and by how much that may be wrong; milliseconds. */
export interface ClockFacts {
  readonly aheadMs: number
  readonly uncertaintyMs: number
}

/** What waits in the slot, from a peek at some of it. */
export interface PeekFacts {
  readonly messages: number
  readonly malformed: readonly string[]
  readonly foreign: number
  /** Topic → facts and the largest of them. */
  readonly topics: ReadonlyMap<string, { readonly facts: number; readonly largestBytes: number }>
  /** Why it could not be looked into. */
  readonly failure?: string
}

export interface KafkaFacts {
  readonly bootstrap: readonly BrokerReach[]
  /** Connecting as the relay does, with TLS and user. */
  readonly session: Outcome
  /** What the brokers say of themselves. */
  readonly advertised: readonly (BrokerReach & { readonly nodeId: number })[]
  readonly topics: readonly TopicFacts[]
  /** The first broker's; undefined: we may not see it. */
  readonly broker?: ReadonlyMap<string, string> | undefined
  /** Asking for a producer id. */
  readonly producer?: Outcome
  readonly clock?: ClockFacts | undefined
}

export interface BrokerReach {
  readonly address: string
  readonly reach: Outcome
}

export interface TopicFacts {
  readonly name: string
  /** Why it is looked at: `--topics`, facts in the slot, the dead-letter topic, … */
  readonly because: string
  readonly errorCode: number
  readonly partitions: number
  readonly replicas: number
  readonly fewestInSync: number
  readonly leaderless: number
  readonly operations: readonly string[] | undefined
  readonly config: ReadonlyMap<string, string> | undefined
  readonly largestFactBytes: number
}
