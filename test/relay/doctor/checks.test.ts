import { describe, expect, it } from 'vitest'
import { checkClocks } from '../../../relay/doctor/check-clocks.ts'
import { checkKafka, type KafkaNames } from '../../../relay/doctor/check-kafka.ts'
import { checkPostgres, isSynchronous } from '../../../relay/doctor/check-postgres.ts'
import { checkSlot } from '../../../relay/doctor/check-slot.ts'
import type {
  DoctorNames,
  Finding,
  KafkaFacts,
  PostgresFacts,
  ServerFacts,
  SlotFacts,
  TopicFacts,
} from '../../../relay/doctor/facts.ts'
import type { SlotInspection } from '../../../relay/source/wal/guardian.ts'

// What the servers of the tests cannot be made to be: too old, days behind, with long transactions, brokers out of sync.

const NAMES: DoctorNames = {
  slot: 'factlib_slot',
  publication: 'facts',
  role: 'relay',
  database: 'shop',
  applicationName: 'factlib-relay',
  host: 'db',
  port: 5432,
  slotCreate: 'first',
  acceptGap: false,
  keepsMalformed: false,
}
const SERVER: ServerFacts = {
  version: 180_001,
  walLevel: 'logical',
  isStandby: false,
  maxSlots: 10,
  usedSlots: 1,
  maxSenders: 10,
  usedSenders: 0,
  maxSlotWalKeepBytes: 1_073_741_824,
  idleTimeoutSeconds: 0,
  walSenderTimeoutMs: 60_000,
  synchronousStandbyNames: '',
  syncReplicationSlots: false,
  published: true,
  publishedTables: 0,
}
const SLOT: SlotFacts = {
  slotType: 'logical',
  plugin: 'pgoutput',
  database: 'shop',
  temporary: false,
  twoPhase: false,
  walStatus: 'reserved',
  invalidation: null,
  safeWalBytes: 1_000_000_000,
  failover: false,
  activePid: null,
  holder: null,
}
const INSPECTION: SlotInspection = {
  slot: { wal_status: 'reserved', failover: false },
  published: true,
  restartLagBytes: 0,
  confirmedLagBytes: 0,
  walBytes: 1_000,
  syncState: null,
  standbys: 0,
  idleTimeoutSeconds: 0,
  oldestTransaction: undefined,
  atMs: 0,
}
const POSTGRES: PostgresFacts = {
  connect: { ok: true },
  replication: { ok: true },
  server: SERVER,
  role: { mayReplicate: true, seesStatistics: true, mayCreate: true },
  slot: SLOT,
  inspection: INSPECTION,
  memory: { exists: true, mayUse: true, remembered: undefined, gap: undefined },
}
const TOPIC: TopicFacts = {
  name: 'shop.order',
  because: 'named by --topics',
  errorCode: 0,
  partitions: 6,
  replicas: 3,
  fewestInSync: 3,
  leaderless: 0,
  operations: ['Write', 'Describe', 'Read'],
  config: new Map([
    ['max.message.bytes', '1048588'],
    ['min.insync.replicas', '2'],
  ]),
  largestFactBytes: 0,
}
const KAFKA: KafkaFacts = {
  bootstrap: [{ address: 'kafka:9092', reach: { ok: true } }],
  session: { ok: true },
  advertised: [{ nodeId: 1, address: 'kafka:9092', reach: { ok: true } }],
  topics: [TOPIC],
  broker: new Map(),
  producer: { ok: true },
}
const KAFKA_NAMES: KafkaNames = {
  target: { clientId: 'x', brokers: ['kafka:9092'], tls: false, compression: 'none' },
  sendBytes: 900_000,
  deadLetterTopic: undefined,
  blocksKeys: false,
}

const codes = (findings: readonly Finding[]) =>
  findings.filter(({ level }) => level !== 'ok').map(({ code, level }) => `${level} ${code}`)
const server = (change: Partial<ServerFacts>) => checkPostgres({ ...POSTGRES, server: { ...SERVER, ...change } }, NAMES)
const slot = (change: Partial<PostgresFacts>, names: Partial<DoctorNames> = {}) =>
  checkSlot({ ...POSTGRES, ...change }, { ...NAMES, ...names })
const topic = (change: Partial<TopicFacts>, names: Partial<KafkaNames> = {}) =>
  checkKafka({ ...KAFKA, topics: [{ ...TOPIC, ...change }] }, { ...KAFKA_NAMES, ...names })

it('finds nothing where nothing is wrong', () => {
  expect(codes([...checkPostgres(POSTGRES, NAMES), ...checkSlot(POSTGRES, NAMES), ...topic({})])).toEqual([])
})

it('says with every warning and problem why it matters and what mends it', () => {
  const all = [
    ...server({
      version: 130_000,
      isStandby: true,
      walLevel: 'replica',
      idleTimeoutSeconds: 60,
      walSenderTimeoutMs: 2_000,
    }),
    ...slot({ slot: undefined }),
    ...topic({ leaderless: 2, replicas: 1, fewestInSync: 0, largestFactBytes: 2_000_000 }),
  ].filter(({ level }) => level === 'warning' || level === 'problem')
  expect(all.length).toBeGreaterThan(8)
  for (const { why, remedy } of all)
    expect([why, remedy]).toEqual([expect.stringMatching(/\w/), expect.stringMatching(/\w/)])
})

describe('PostgreSQL', () => {
  it.each<[Partial<ServerFacts>, string]>([
    [{ version: 130_012 }, 'problem SERVER_TOO_OLD'],
    [{ isStandby: true }, 'problem SERVER_IN_RECOVERY'],
    [{ walSenderTimeoutMs: 5_000 }, 'warning SENDER_TIMEOUT_SHORT'],
    [{ maxSlotWalKeepBytes: undefined }, 'warning WAL_UNLIMITED'],
    [{ synchronousStandbyNames: '*' }, 'problem SYNC_STANDBY'],
  ])('%o: %s', (change, code) => expect(codes(server(change))).toEqual([code]))

  it.each<[string, boolean]>([
    ['', false],
    ['*', true],
    ['standby1, Factlib-Relay', true],
    ['FIRST 2 (standby1, "factlib-relay")', true],
    ['ANY 1 (standby1, standby2)', false],
    ['2 (factlib-relay-2)', false],
  ])('synchronous_standby_names %j means us: %s', (setting, means) => {
    expect(isSynchronous(setting, 'factlib-relay')).toBe(means)
  })

  it.each<[string, string, string]>([
    ['53300', 'sorry, too many clients already', 'POSTGRES_FULL'],
    ['28000', 'no pg_hba.conf entry for host', 'POSTGRES_REFUSED'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate in certificate chain', 'POSTGRES_TLS'],
    ['ETIMEDOUT', 'connect ETIMEDOUT', 'POSTGRES_UNREACHABLE'],
  ])('%s (%s) is %s', (code, message, finding) => {
    expect(codes(checkPostgres({ connect: { ok: false, code, message } }, NAMES))).toEqual([`problem ${finding}`])
  })

  it('a password that is refused may be of a role that is not there', () => {
    const connect = { ok: false, code: '28P01', message: 'password authentication failed' } as const
    expect(checkPostgres({ connect }, NAMES)[0]?.remedy).toContain('factlib-relay setup makes it')
  })

  it('no free sender is only a warning while the relay has one', () => {
    const replication = {
      ok: false,
      code: '53300',
      message: 'number of requested standby connections exceeds',
    } as const
    expect(codes(checkPostgres({ ...POSTGRES, replication }, NAMES))).toEqual(['problem NO_FREE_SENDER'])
    const held = { ...POSTGRES, replication, slot: { ...SLOT, activePid: 7 } }
    expect(codes(checkPostgres(held, NAMES))).toEqual(['warning NO_FREE_SENDER'])
  })
})

describe('the slot', () => {
  it('a transaction that is open for long, and a slot that does not fail over', () => {
    const inspection = { ...INSPECTION, oldestTransaction: { seconds: 4_000, pid: 12 }, standbys: 1 }
    expect(codes(slot({ inspection }))).toEqual(['warning OLD_TRANSACTION', 'warning NO_FAILOVER'])
  })

  it('a publication with tables', () => {
    expect(codes(slot({ server: { ...SERVER, publishedTables: 3 } }))).toEqual(['warning PUBLICATION_HAS_TABLES'])
  })

  it('a gap is a warning once the operator has accepted it', () => {
    const memory = { exists: true, mayUse: true, remembered: undefined, gap: 'somebody else moved it' }
    expect(codes(slot({ memory }))).toEqual(['problem SLOT_GAP'])
    expect(codes(slot({ memory }, { acceptGap: true }))).toEqual(['warning SLOT_GAP'])
  })

  it('a malformed message is a warning where dead letters are kept', () => {
    const peek = { messages: 1, foreign: 0, malformed: ['LSN 0/1'], topics: new Map() }
    expect(codes(slot({ peek }))).toEqual(['problem MALFORMED_FACT'])
    expect(codes(slot({ peek }, { keepsMalformed: true }))).toEqual(['warning MALFORMED_FACT'])
    expect(codes(slot({ peek: { ...peek, malformed: [], failure: 'publication does not exist' } }))).toEqual([
      'problem SLOT_UNREADABLE',
    ])
  })

  it('of one that a relay reads it says that the facts in it were not looked at', () => {
    expect(codes(slot({ slot: { ...SLOT, activePid: 7, holder: 'factlib-relay 10.0.0.7' } }))).toEqual([
      'unknown SLOT_NOT_LOOKED_INTO',
    ])
  })

  it('of an old server nothing more is asked', () => {
    expect(slot({ server: { ...SERVER, version: 130_000 }, slot: undefined })).toEqual([])
  })
})

describe('topics', () => {
  it.each<[Partial<TopicFacts>, string]>([
    [{ leaderless: 1 }, 'problem TOPIC_LEADERLESS'],
    [{ fewestInSync: 1 }, 'problem NOT_IN_SYNC'],
    [{ config: new Map([['min.insync.replicas', '1']]) }, 'warning MIN_INSYNC_ONE'],
    [{ operations: ['Describe', 'Read'] }, 'problem ACL_WRITE'],
    [{ operations: ['Describe', 'Write'] }, 'warning ACL_READ'],
    [{ errorCode: 29 }, 'problem ACL_DESCRIBE'],
    [{ errorCode: 3 }, 'problem TOPIC_MISSING'],
    [{ errorCode: 56 }, 'problem TOPIC_ERROR'],
    [{ largestFactBytes: 1_100_000 }, 'problem MESSAGE_TOO_LARGE'],
  ])('%o: %s', (change, code) => expect(codes(topic(change))).toEqual([code]))

  it('a missing one is a warning where the relay creates topics', () => {
    const target = { ...KAFKA_NAMES.target, createTopics: { partitions: 3, replicationFactor: 3 } }
    expect(codes(topic({ errorCode: 3 }, { target }))).toEqual(['warning TOPIC_MISSING'])
  })

  it.each([
    [1, /--replication-factor 1;/],
    [2, /--replication-factor 2 --config min.insync.replicas=1;/],
    [5, /--replication-factor 3 --config min.insync.replicas=2;/],
  ])('with %i brokers a missing one is made with no more replicas than brokers', (brokers, command) => {
    const [broker] = KAFKA.advertised
    const advertised = Array.from({ length: brokers }, () => broker as NonNullable<typeof broker>)
    const found = checkKafka({ ...KAFKA, advertised, topics: [{ ...TOPIC, errorCode: 3 }] }, KAFKA_NAMES)
    expect(found.find(({ code }) => code === 'TOPIC_MISSING')?.remedy).toMatch(command)
  })

  it('a limit under what services may emit, and under what the relay sends', () => {
    const config = new Map([...(TOPIC.config as Map<string, string>), ['max.message.bytes', '500000']])
    expect(codes(topic({ config }))).toEqual(['warning MESSAGE_LIMIT', 'warning SEND_LIMIT'])
    expect(codes(topic({ config }, { sendBytes: 400_000 }))).toEqual(['warning MESSAGE_LIMIT'])
  })

  it('a dead-letter topic that forgets, compacts, or cannot be read back', () => {
    const config = new Map([
      ...(TOPIC.config as Map<string, string>),
      ['cleanup.policy', 'compact,delete'],
      ['retention.ms', '604800000'],
    ])
    const names = { deadLetterTopic: 'shop.order', blocksKeys: true }
    expect(codes(topic({ config, operations: ['Write', 'Describe'] }, names))).toEqual([
      'problem ACL_READ',
      'warning DEAD_LETTERS_COMPACTED',
      'warning DEAD_LETTERS_EXPIRE',
    ])
  })
})

describe('brokers and clocks', () => {
  it('some brokers of the list are away: a warning; a broker that is not where it says: a problem', () => {
    const away = { ok: false, code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' } as const
    const facts: KafkaFacts = {
      ...KAFKA,
      bootstrap: [...KAFKA.bootstrap, { address: 'old:9092', reach: away }],
      advertised: [...KAFKA.advertised, { nodeId: 2, address: 'kafka-2:9092', reach: away }],
    }
    expect(codes(checkKafka(facts, KAFKA_NAMES))).toEqual(['warning KAFKA_BOOTSTRAP', 'problem KAFKA_ADVERTISED'])
  })

  it('clocks that differ by more than they may be wrong', () => {
    const check = (aheadMs: number, uncertaintyMs: number) =>
      codes(checkClocks({ postgres: { aheadMs, uncertaintyMs }, kafka: undefined, topics: [] }))
    expect(check(1_000, 10)).toEqual([])
    expect(check(-9_000, 10)).toEqual(['warning CLOCK_SKEW'])
    expect(check(9_000, 8_000)).toEqual([])
  })

  it('a clock so far ahead of Kafka that it refuses every record', () => {
    const topics = [{ ...TOPIC, config: new Map([['message.timestamp.after.max.ms', '3600000']]) }]
    const kafka = { aheadMs: -4_000_000, uncertaintyMs: 5 }
    expect(codes(checkClocks({ postgres: undefined, kafka, topics }))).toEqual([
      'warning CLOCK_SKEW',
      'problem CLOCK_REFUSED',
    ])
  })
})
