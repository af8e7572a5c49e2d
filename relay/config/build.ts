/** Parsed option values → `RelaySettings`, with the checks of what options mean together. */
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { isFactlibError } from '../../src/errors.ts'
import { checkPrefix, HEARTBEAT_PREFIX } from '../../src/fact-rules.ts'
import { DEAD_LETTER_CAUSES, type DeadLetterSettings } from '../dead-letter.ts'
import { BROKER_DEFAULT } from '../topic-creation.ts'
import type { DatabaseTarget, KafkaTarget, RelaySettings, Route } from '../types.ts'
import { parseDatabaseUrl } from './database-url.ts'
import type { RelayOptionKey } from './options.ts'
import { isTopicName } from './routes.ts'
import type { OptionValue } from './values.ts'

/** Option values that were found, by key. */
export interface Known {
  /** Undefined: not given and without a default, or given and wrong (a problem is noted). */
  get<T extends OptionValue>(key: RelayOptionKey): T | undefined
  /** The name by which the user knows it. */
  name(key: RelayOptionKey): string
  isDefault(key: RelayOptionKey): boolean
}

export interface BuildContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly readFile: (path: string) => string
  readonly routes: readonly Route[]
  readonly problems: string[]
  readonly warnings: string[]
}

/** Undefined when a problem was noted. */
export function buildSettings(known: Known, context: BuildContext): RelaySettings | undefined {
  const { problems } = context
  const prefixes = checkPrefixes(known, context)
  const database = readDatabase(known, context)
  checkNames(known, problems)
  const kafka = buildKafka(known, context)
  const deadLetter = buildDeadLetter(known, problems)
  const exactlyOnce = buildExactlyOnce(known, context, deadLetter)
  if (problems.length > 0 || database === undefined) return undefined
  return {
    prefixes,
    database,
    slot: known.get<string>('slotName')!,
    publication: known.get<string>('publicationName')!,
    slotCreate: known.get<RelaySettings['slotCreate']>('slotCreate')!,
    slotFailover: known.get<boolean>('slotFailover')!,
    acceptGap: known.get<boolean>('acceptGap')!,
    heartbeatMs: known.get<number>('heartbeatMs')!,
    kafka,
    ...(deadLetter === undefined ? {} : { deadLetter }),
    ...(exactlyOnce === undefined ? {} : { exactlyOnce }),
    windowFacts: known.get<number>('windowFacts')!,
    windowBytes: known.get<number>('windowBytes')!,
    sendRecords: known.get<number>('sendRecords')!,
    sendBytes: known.get<number>('sendBytes')!,
    traceparentHeader: known.get<boolean>('traceparentHeader')!,
    drainTimeoutMs: known.get<number>('drainTimeoutMs')!,
  }
}

function checkPrefixes(known: Known, { problems, routes }: BuildContext): readonly string[] {
  const prefixes = known.get<readonly string[]>('prefix') ?? []
  const name = known.name('prefix')
  if (prefixes.includes('*')) {
    if (prefixes.length > 1) problems.push(`${name}: "*" means every prefix and stands alone`)
    return prefixes
  }
  for (const prefix of prefixes) {
    const found: string[] = []
    checkPrefix(prefix, found)
    // A route may give facts of such a prefix a topic of their own; without routes they could never be produced.
    if (routes.length === 0 || prefix === HEARTBEAT_PREFIX)
      problems.push(...found.map((problem) => `${name}: ${problem}`))
  }
  return prefixes
}

function readDatabase(known: Known, { env, readFile, problems }: BuildContext): DatabaseTarget | undefined {
  const url = known.get<string>('databaseUrl')
  if (url === undefined) return undefined
  const name = known.name('databaseUrl')
  try {
    const target = parseDatabaseUrl(url.trim(), { env, readFile })
    const { ca, cert, key, passphrase } = target.ssl ?? {}
    checkCertificates({ ca, cert, key, passphrase }, `${name}: its certificates`, problems)
    return target
  } catch (error) {
    if (!isFactlibError(error, 'FACTLIB_BAD_CONFIGURATION')) throw error
    const found = (error as unknown as { problems: readonly string[] }).problems
    problems.push(...found.map((problem) => `${name}: ${problem}`))
    return undefined
  }
}

function checkNames(known: Known, problems: string[]): void {
  const slot = known.get<string>('slotName')
  if (slot !== undefined && !/^[a-z0-9_]{1,63}$/.test(slot)) {
    problems.push(
      `${known.name('slotName')} must be 1 to 63 lower-case letters, digits and underscores, but is ${JSON.stringify(slot)}`,
    )
  }
  const publication = known.get<string>('publicationName')
  if (publication !== undefined && (Buffer.byteLength(publication) > 63 || publication.includes('\0'))) {
    problems.push(`${known.name('publicationName')} must be at most 63 bytes long`)
  }
  // Kafka's own limit is a 16-bit length; what brokers show and count by is better short.
  for (const key of ['appName', 'sourceServiceName'] as const) {
    const value = known.get<string>(key)
    if (value !== undefined && value.length > 200)
      problems.push(`${known.name(key)} must be at most 200 characters long`)
  }
}

function buildKafka(known: Known, context: BuildContext): KafkaTarget {
  const { problems, warnings } = context
  const brokers = known.get<readonly string[]>('kafkaBrokers') ?? []
  for (const broker of brokers) {
    const problem = brokerProblem(broker)
    if (problem !== undefined) problems.push(`${known.name('kafkaBrokers')}: ${problem}`)
  }
  const createTopics = known.get<boolean>('kafkaCreateTopics') === true
  for (const key of ['kafkaTopicPartitions', 'kafkaTopicReplicationFactor'] as const) {
    if (!createTopics && !known.isDefault(key)) {
      warnings.push(`${known.name(key)} has no effect while ${known.name('kafkaCreateTopics')} is not true`)
    }
  }
  const tls = buildTls(known, context)
  const sasl = buildSasl(known, tls !== false, context)
  return {
    clientId: `${known.get<string>('appName')}.${known.get<string>('sourceServiceName')}`,
    brokers,
    tls,
    ...(sasl === undefined ? {} : { sasl }),
    client: known.get<NonNullable<KafkaTarget['client']>>('kafkaClient') ?? 'auto',
    compression: known.get<KafkaTarget['compression']>('kafkaCompression') ?? 'none',
    ...(createTopics
      ? {
          createTopics: {
            partitions: known.get<number>('kafkaTopicPartitions') ?? BROKER_DEFAULT,
            replicationFactor: known.get<number>('kafkaTopicReplicationFactor') ?? BROKER_DEFAULT,
          },
        }
      : {}),
  }
}

/** Never quotes the broker: somebody may have written credentials into it. */
function brokerProblem(broker: string): string | undefined {
  if (broker.includes('://')) return 'a broker is written host:port, without a scheme such as SASL_SSL://'
  if (broker.includes('@')) return 'a broker is written host:port, without a user (see KAFKA_USERNAME)'
  if (broker.startsWith('[') || broker.split(':').length > 2)
    return 'a broker cannot be an IPv6 address: give its host name'
  const [host = '', port = ''] = broker.split(':')
  if (host === '' || /[\s/]/.test(host)) return 'a broker has no valid host name: write host:port'
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
    return `the broker ${JSON.stringify(host)} needs a port from 1 to 65535: write host:port, such as ${host}:9092`
  }
  return undefined
}

function buildTls(known: Known, { readFile, problems }: BuildContext): KafkaTarget['tls'] {
  const files = ['kafkaSslCa', 'kafkaSslCert', 'kafkaSslKey'] as const
  if (known.get<boolean>('kafkaSsl') !== true) {
    for (const key of files) {
      // Whoever gives a certificate believes that the connection is encrypted.
      if (!known.isDefault(key))
        problems.push(
          `${known.name(key)} is set, but ${known.name('kafkaSsl')} is not true: set it to true, or remove the file`,
        )
    }
    return false
  }
  const before = problems.length
  const [ca, cert, key] = files.map((file) => {
    const path = known.get<string>(file)
    if (path === undefined) return undefined
    try {
      return readFile(path)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
      problems.push(`${known.name(file)}: the file cannot be read (${code}): give the path of a PEM file`)
      return undefined
    }
  })
  if (known.isDefault('kafkaSslCert') !== known.isDefault('kafkaSslKey')) {
    problems.push(`${known.name('kafkaSslCert')} and ${known.name('kafkaSslKey')} go together: set both, or none`)
  }
  const tls = {
    minVersion: 'TLSv1.2' as const,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
  if (problems.length === before) {
    const named = files.filter((file) => !known.isDefault(file)).map((file) => known.name(file))
    checkCertificates(tls, named.join(', '), problems)
  }
  return tls
}

function buildSasl(known: Known, encrypted: boolean, { problems, warnings }: BuildContext): KafkaTarget['sasl'] {
  const username = known.get<string>('kafkaUsername')
  const password = known.get<string>('kafkaPassword')
  if ((username === undefined) !== (password === undefined)) {
    const [given, missing] =
      username === undefined
        ? (['kafkaPassword', 'kafkaUsername'] as const)
        : (['kafkaUsername', 'kafkaPassword'] as const)
    problems.push(`${known.name(given)} is set, but ${known.name(missing)} is not: set both, or none`)
  }
  if (username === undefined || password === undefined) {
    if (
      !known.isDefault('kafkaSaslMechanism') &&
      known.isDefault('kafkaUsername') &&
      known.isDefault('kafkaPassword')
    ) {
      problems.push(
        `${known.name('kafkaSaslMechanism')} is set, but ${known.name('kafkaUsername')} is not: set user and password, or remove it`,
      )
    }
    return undefined
  }
  const mechanism = known.get<NonNullable<KafkaTarget['sasl']>['mechanism']>('kafkaSaslMechanism') ?? 'scram-sha-512'
  if (!encrypted) {
    warnings.push(
      `${known.name('kafkaUsername')} is set, but ${known.name('kafkaSsl')} is not true: the relay authenticates (${mechanism}) without encryption` +
        (mechanism === 'plain' ? ', so that the password can be read on the network' : ''),
    )
  }
  return { mechanism, username, password }
}

/** What TLS would refuse at the first connection is found now: no PEM, a key of another certificate, an encrypted key. */
function checkCertificates(
  options: { readonly [K in 'ca' | 'cert' | 'key' | 'passphrase']?: string | undefined },
  names: string,
  problems: string[],
): void {
  if (options.ca === undefined && options.cert === undefined && options.key === undefined) return
  for (const what of ['ca', 'cert', 'key'] as const) {
    if (options[what]?.includes('-----BEGIN ') === false) {
      problems.push(`${names}: the file of ${what} is not PEM (it has no "-----BEGIN" line)`)
      return
    }
  }
  try {
    createSecureContext(options as SecureContextOptions)
  } catch (error) {
    problems.push(
      `${names} cannot be used (${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}): do the certificate and the key belong together, and is the key not encrypted?`,
    )
  }
}

function buildDeadLetter(known: Known, problems: string[]): DeadLetterSettings | undefined {
  const topic = known.get<string>('deadLetterTopic')
  const causes = known.get<readonly string[]>('deadLetterCauses') ?? []
  const unknown = causes.filter(
    (cause) => cause === 'key_blocked' || !(DEAD_LETTER_CAUSES as readonly string[]).includes(cause),
  )
  if (unknown.length > 0)
    problems.push(
      `${known.name('deadLetterCauses')} has no cause "${unknown.join('", "')}": take malformed, too_large, invalid_topic, refused`,
    )
  const keys = known.get<DeadLetterSettings['keys']>('deadLetterKeys')!
  if (topic === undefined) {
    if (!known.isDefault('deadLetterKeys') || !known.isDefault('deadLetterCauses'))
      problems.push(
        `${known.name('deadLetterTopic')} is not set, so ${known.name('deadLetterKeys')} and ${known.name('deadLetterCauses')} mean nothing: set it, or leave them out`,
      )
    return undefined
  }
  if (!isTopicName(topic))
    problems.push(
      `${known.name('deadLetterTopic')} is no name of a Kafka topic: up to 249 letters, digits, ".", "_" and "-"`,
    )
  return { topic, causes: causes as DeadLetterSettings['causes'], keys }
}

function buildExactlyOnce(
  known: Known,
  { problems, warnings, routes }: BuildContext,
  deadLetter: DeadLetterSettings | undefined,
): RelaySettings['exactlyOnce'] {
  const name = known.name('exactlyOnce')
  const topic = known.get<string>('exactlyOnceTopic')!
  if (known.get<boolean>('exactlyOnce') !== true) {
    if (!known.isDefault('exactlyOnceTopic'))
      warnings.push(`${known.name('exactlyOnceTopic')} has no effect while ${name} is not true`)
    return undefined
  }
  if (!isTopicName(topic) || topic === deadLetter?.topic)
    problems.push(
      `${known.name('exactlyOnceTopic')} must be a Kafka topic of its own: up to 249 letters, digits, ".", "_" and "-"`,
    )
  if (known.get<string>('kafkaClient') === 'platformatic')
    problems.push(
      `${name} writes with kafkajs only: take ${known.name('kafkaClient')}=kafkajs or auto, or turn ${name} off`,
    )
  if (routes.some((route) => route.handle !== undefined))
    problems.push(
      `${name} cannot hold for routes with a handler: what a handler does is in no Kafka transaction. Give those routes a topic, or relay them in a process of their own with another slot`,
    )
  if (deadLetter?.keys === 'block-key')
    problems.push(
      `${name} does not know ${known.name('deadLetterKeys')}=block-key yet: take continue, or turn ${name} off`,
    )
  warnings.push(`${name} is experimental`)
  return { topic }
}
