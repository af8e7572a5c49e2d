import { DEFAULT_MAX_FACT_BYTES } from '../../src/config.ts'
import type { KafkaTarget } from '../types.ts'
import type { Finding, KafkaFacts, Outcome, TopicFacts } from './facts.ts'

/** What of the settings the checks of Kafka need. */
export interface KafkaNames {
  readonly target: KafkaTarget
  readonly sendBytes: number
  readonly deadLetterTopic: string | undefined
  readonly blocksKeys: boolean
}

/** Key, event type, trace and batch header beside the largest envelope; the sum is in src/config.ts. */
const RECORD_OVERHEAD_BYTES = 33_817
const DAY_MS = 86_400_000

type Add = (finding: Omit<Finding, 'area'>) => undefined

/** Brokers, our way to them, and our rights; whoever cannot connect learns nothing else. */
export function checkKafka(facts: KafkaFacts, names: KafkaNames): Finding[] {
  const findings: Finding[] = []
  const add: Add = (finding) => {
    findings.push({ area: 'kafka', ...finding })
  }
  checkBootstrap(facts, add)
  if (facts.session.ok) {
    add({
      code: 'KAFKA_SESSION',
      level: 'ok',
      what: `Kafka answers${names.target.sasl ? ` user "${names.target.sasl.username}"` : ''} (${facts.advertised.length === 1 ? 'one broker' : `${facts.advertised.length} brokers`})`,
    })
    checkAdvertised(facts, names, add)
    // Undefined: no broker could be asked.
    if (facts.producer) {
      checkProducer(facts.producer, names, add)
      checkBroker(facts.broker, add)
    }
    const topics: Add = (finding) => {
      findings.push({ area: 'topics', ...finding })
    }
    for (const topic of facts.topics) checkTopic(topic, facts.advertised.length, names, topics)
    if (facts.topics.length === 0)
      topics({
        code: 'TOPICS_UNKNOWN',
        level: 'unknown',
        what: 'no topic was looked at: name those that your facts go to with --topics <prefix>.<aggregate type>,…',
      })
  } else if (facts.bootstrap.some(({ reach }) => reach.ok)) add(sessionFinding(facts.session, names))
  return findings
}

function checkBootstrap({ bootstrap }: KafkaFacts, add: Add): undefined {
  const dead = bootstrap.filter(({ reach }) => !reach.ok)
  if (dead.length === 0) return
  const words = dead.map(({ address, reach }) => `${address}: ${reach.ok ? '' : reach.message}`).join('; ')
  if (dead.length === bootstrap.length)
    add({
      code: 'KAFKA_UNREACHABLE',
      level: 'problem',
      what: `no broker of KAFKA_BROKERS can be reached: ${words}`,
      why: 'The relay tries for ever and is not healthy; facts wait in the slot, and PostgreSQL keeps WAL for them.',
      remedy: 'Mend KAFKA_BROKERS, or open the way: nc -vz <host> <port> from where the relay runs',
    })
  else
    add({
      code: 'KAFKA_BOOTSTRAP',
      level: 'warning',
      what: `of KAFKA_BROKERS some cannot be reached: ${words}`,
      why: 'If the others go too, a relay that starts finds no broker.',
      remedy: 'Take those out of KAFKA_BROKERS that are no more, and start those that are down.',
    })
}

function sessionFinding(
  { code, message }: Extract<Outcome, { ok: false }>,
  { target }: KafkaNames,
): Omit<Finding, 'area'> {
  const why = 'The relay tries for ever and is not healthy; facts wait in the slot.'
  const problem = (id: string, what: string, remedy: string) => ({
    code: id,
    level: 'problem' as const,
    what,
    why,
    remedy,
  })
  if (/SASL/.test(code) || /SASL/.test(message))
    return /mechanism .*not (supported|enabled)/i.test(message) || code === 'UNSUPPORTED_SASL_MECHANISM'
      ? problem(
          'KAFKA_MECHANISM',
          `the brokers do not take KAFKA_SASL_MECHANISM=${target.sasl?.mechanism}: ${message}`,
          'Set KAFKA_SASL_MECHANISM to one that they have enabled (sasl.enabled.mechanisms): plain, scram-sha-256 or scram-sha-512',
        )
      : problem(
          'KAFKA_PASSWORD',
          `Kafka refuses user "${target.sasl?.username}": ${message}`,
          `Mend KAFKA_USERNAME and KAFKA_PASSWORD, or set the password: kafka-configs.sh --bootstrap-server <broker> --alter --entity-type users --entity-name ${target.sasl?.username ?? '<user>'} --add-config 'SCRAM-SHA-512=[password=…]'`,
        )
  if (/certificate|UNABLE_TO|CERT_|SELF_SIGNED/i.test(`${code} ${message}`))
    return problem(
      'KAFKA_TLS',
      `the certificate of the brokers is not accepted: ${message}`,
      "Name the authority that signed it: KAFKA_SSL_CA=/path/ca.pem; the broker's host name must be in the certificate.",
    )
  return problem(
    'KAFKA_LISTENER',
    `a broker takes our connection, and then does not answer as Kafka does${target.tls === false ? ' in plain text' : ' over TLS'}: ${message}`,
    target.tls === false
      ? 'Does that port want TLS (KAFKA_SSL=true), or a user (KAFKA_USERNAME)? Is it a broker?'
      : 'Does that port speak plain text (KAFKA_SSL=false), or want a client certificate (KAFKA_SSL_CERT, KAFKA_SSL_KEY)?',
  )
}

function checkAdvertised({ advertised }: KafkaFacts, _names: KafkaNames, add: Add): undefined {
  const dead = advertised.filter(({ reach }) => !reach.ok)
  if (dead.length === 0)
    return add({ code: 'KAFKA_ADVERTISED', level: 'ok', what: 'every broker can be reached where it says that it is' })
  for (const { nodeId, address, reach } of dead)
    add({
      code: 'KAFKA_ADVERTISED',
      level: 'problem',
      what: `broker ${nodeId} says that it is at ${address}, which cannot be reached from here: ${reach.ok ? '' : reach.message}`,
      why: 'Records of partitions that it leads are not taken; their lanes wait, and in the end all of them.',
      remedy: `Is it running? Else set advertised.listeners of broker ${nodeId} to an address that the relay can reach, and restart it.`,
    })
}

function checkProducer(outcome: Outcome, names: KafkaNames, add: Add): undefined {
  if (outcome.ok) return add({ code: 'IDEMPOTENT_WRITE', level: 'ok', what: 'Kafka gives us a producer id' })
  add({
    code: 'IDEMPOTENT_WRITE',
    level: 'problem',
    what: `Kafka gives us no producer id: ${outcome.message}`,
    why: 'The relay produces idempotently only; without one nothing is produced.',
    remedy: `${acl(names, '--operation Write --topic <topic>')} (before Kafka 3.0 also: --operation IdempotentWrite --cluster)`,
  })
}

function checkBroker(broker: ReadonlyMap<string, string> | undefined, add: Add): undefined {
  if (!broker)
    return add({
      code: 'BROKER_CONFIG',
      level: 'unknown',
      what: "the brokers' configuration is not ours to see (DescribeConfigs on the cluster): producer.id.expiration.ms was not checked",
    })
  const expiration = Number(broker.get('producer.id.expiration.ms') ?? DAY_MS)
  if (expiration < DAY_MS)
    add({
      code: 'PRODUCER_EXPIRATION',
      level: 'warning',
      what: `producer.id.expiration.ms is ${expiration} (${Math.round(expiration / 60_000)} minutes)`,
      why: 'After an outage that lasts longer a repeated request is not recognised: a fact may be in Kafka twice.',
      remedy: `kafka-configs.sh --bootstrap-server <broker> --alter --entity-type brokers --entity-default --add-config producer.id.expiration.ms=${DAY_MS}`,
    })
}

function checkTopic(topic: TopicFacts, brokers: number, names: KafkaNames, add: Add): undefined {
  const { name, because } = topic
  const problem = (code: string, what: string, why: string, remedy: string) =>
    add({ code, level: 'problem', what: `topic "${name}" (${because}) ${what}`, why, remedy })
  const warning = (code: string, what: string, why: string, remedy: string) =>
    add({ code, level: 'warning', what: `topic "${name}" (${because}) ${what}`, why, remedy })
  const held = 'Its facts wait; other topics go on until the window is full.'
  if (topic.errorCode === 29)
    return problem('ACL_DESCRIBE', 'may not be seen by us', held, acl(names, `--operation Write --topic ${name}`))
  if (topic.errorCode === 17)
    return problem(
      'TOPIC_NAME',
      'has a name that Kafka does not take',
      held,
      'Give its facts another topic with a route in the config file, or set DEAD_LETTER_TOPIC.',
    )
  if (topic.errorCode === 3) {
    const create = names.target.createTopics
    if (create)
      return warning(
        'TOPIC_MISSING',
        'does not exist',
        'The relay creates it (KAFKA_CREATE_TOPICS) if it has the right to (Create).',
        createTopic(name, brokers),
      )
    return problem(
      'TOPIC_MISSING',
      'does not exist',
      held,
      `${createTopic(name, brokers)}; or KAFKA_CREATE_TOPICS=true`,
    )
  }
  if (topic.errorCode !== 0)
    return problem(
      'TOPIC_ERROR',
      `cannot be looked at: error ${topic.errorCode} of Kafka`,
      held,
      'Look at the log of the brokers.',
    )
  const before = { count: 0 }
  const counted =
    (tell: typeof problem) =>
    (...words: Parameters<typeof problem>) => {
      before.count++
      return tell(...words)
    }
  checkRights(topic, names, counted(problem), counted(warning))
  checkReplicas(topic, counted(problem), counted(warning))
  checkSizes(topic, names, counted(problem), counted(warning))
  if (name === names.deadLetterTopic) checkDeadLetterTopic(topic, counted(warning))
  if (before.count === 0)
    add({ code: 'TOPIC', level: 'ok', what: `topic "${name}" (${because}): ${topic.partitions} partitions` })
}

type Tell = (code: string, what: string, why: string, remedy: string) => undefined

function checkRights({ name, operations }: TopicFacts, names: KafkaNames, problem: Tell, warning: Tell): undefined {
  if (operations === undefined) return
  if (!operations.includes('Write'))
    problem(
      'ACL_WRITE',
      'may not be written by us',
      'Its facts wait; other topics go on until the window is full.',
      acl(names, `--operation Write --topic ${name}`),
    )
  if (operations.includes('Read')) return
  const isNeeded = name === names.deadLetterTopic && names.blocksKeys
  ;(isNeeded ? problem : warning)(
    'ACL_READ',
    'may not be read by us',
    isNeeded
      ? 'With DEAD_LETTER_KEYS=block-key the relay reads it at its start.'
      : 'After a fault the relay cannot look whether facts were written, and writes them again: consumers see some twice.',
    acl(names, `--operation Read --topic ${name}`),
  )
}

function checkReplicas(
  { name, config, replicas, fewestInSync, leaderless }: TopicFacts,
  problem: Tell,
  warning: Tell,
): undefined {
  const minInSync = Number(config?.get('min.insync.replicas') ?? 1)
  const alter = `kafka-configs.sh --bootstrap-server <broker> --alter --entity-type topics --entity-name ${name} --add-config min.insync.replicas=`
  if (leaderless > 0)
    problem(
      'TOPIC_LEADERLESS',
      `has ${leaderless} partitions without a leader`,
      'Facts of these partitions wait.',
      `Bring their brokers back: kafka-topics.sh --bootstrap-server <broker> --describe --topic ${name} --unavailable-partitions`,
    )
  if (minInSync > replicas)
    warning(
      'MIN_INSYNC',
      `wants min.insync.replicas=${minInSync} and has ${replicas} replicas`,
      'Kafka 4 takes the number of replicas then; older brokers never acknowledge a record.',
      `${alter}${Math.max(1, replicas - 1)}`,
    )
  else if (leaderless === 0 && fewestInSync < Math.min(minInSync, replicas))
    problem(
      'NOT_IN_SYNC',
      `has partitions with ${fewestInSync} of ${minInSync} in-sync replicas that it wants`,
      'Their records are not taken until brokers catch up.',
      `Bring the brokers back: kafka-topics.sh --bootstrap-server <broker> --describe --topic ${name} --under-min-isr-partitions`,
    )
  if (replicas === 1)
    warning(
      'ONE_REPLICA',
      'has one replica',
      'The loss of that broker’s disk is the loss of its facts, although they were acknowledged.',
      `Replicate it: kafka-reassign-partitions.sh, to a factor of 3, and ${alter}2`,
    )
  else if (config && minInSync === 1)
    warning(
      'MIN_INSYNC_ONE',
      `has min.insync.replicas=1 with ${replicas} replicas`,
      'A record is acknowledged when only one broker has it.',
      `${alter}${replicas - 1}`,
    )
}

function checkSizes(topic: TopicFacts, names: KafkaNames, problem: Tell, warning: Tell): undefined {
  const { name, config, largestFactBytes } = topic
  const limit = Number(config?.get('max.message.bytes') ?? Number.NaN)
  if (Number.isNaN(limit)) return
  const wanted = DEFAULT_MAX_FACT_BYTES + RECORD_OVERHEAD_BYTES
  const raise = (bytes: number) =>
    `kafka-configs.sh --bootstrap-server <broker> --alter --entity-type topics --entity-name ${name} --add-config max.message.bytes=${bytes}`
  if (largestFactBytes > limit)
    problem(
      'MESSAGE_TOO_LARGE',
      `takes ${limit} bytes a record, and a fact of ${largestFactBytes} waits for it`,
      'Kafka refuses it: its lane is held (or it goes to the dead-letter topic).',
      raise(Math.max(wanted, largestFactBytes + RECORD_OVERHEAD_BYTES)),
    )
  else if (limit < wanted)
    warning(
      'MESSAGE_LIMIT',
      `takes ${limit} bytes a record, and services may emit facts of ${DEFAULT_MAX_FACT_BYTES} (maxFactBytes) with ${RECORD_OVERHEAD_BYTES} of headers`,
      'A larger fact is emitted and then never taken by Kafka.',
      `${raise(1_048_588)}; or configure({ maxFactBytes: ${Math.max(1, limit - RECORD_OVERHEAD_BYTES)} }) in the services`,
    )
  if (names.sendBytes > limit)
    warning(
      'SEND_LIMIT',
      `takes ${limit} bytes a request, and the relay sends up to ${names.sendBytes}`,
      'Requests are refused first and sent again record by record, which is slow.',
      `SEND_BYTES=${limit - Math.min(limit / 2, 20_000)}`,
    )
}

function checkDeadLetterTopic({ config }: TopicFacts, warning: Tell): undefined {
  if (config?.get('cleanup.policy')?.includes('compact'))
    warning(
      'DEAD_LETTERS_COMPACTED',
      'is compacted',
      'Of the dead letters of one key only the last is kept.',
      'kafka-configs.sh … --add-config cleanup.policy=delete',
    )
  const retentionMs = Number(config?.get('retention.ms') ?? -1)
  if (retentionMs >= 0)
    warning(
      'DEAD_LETTERS_EXPIRE',
      `forgets after ${Math.round(retentionMs / 3_600_000)} hours (retention.ms)`,
      'A dead letter that nobody has looked at until then is gone, and with it the block of its key.',
      'kafka-configs.sh --bootstrap-server <broker> --alter --entity-type topics --entity-name <topic> --add-config retention.ms=-1',
    )
}

function acl({ target }: KafkaNames, what: string): string {
  const principal = target.sasl?.username ?? (target.tls === false ? 'ANONYMOUS' : "<our certificate's name>")
  return `kafka-acls.sh --bootstrap-server <broker> --add --allow-principal 'User:${principal}' ${what}`
}

/** Kafka refuses a topic of more replicas than there are brokers. */
function createTopic(name: string, brokers: number): string {
  const replicas = Math.max(1, Math.min(3, brokers))
  const minInSync = replicas > 1 ? ` --config min.insync.replicas=${replicas - 1}` : ''
  return `kafka-topics.sh --bootstrap-server <broker> --create --topic ${name} --partitions 6 --replication-factor ${replicas}${minInSync}`
}
