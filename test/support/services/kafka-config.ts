import { randomBytes } from 'node:crypto'
import type { Certificate } from './certificates.ts'

export interface BrokerPorts {
  readonly id: number
  readonly plain: number
  readonly controller: number
  /** One for each of the cluster's extra listeners. */
  readonly extra: Readonly<Partial<Record<ExtraListener, number>>>
  /** Advertised for `PROXIED`: the proxy's port. */
  readonly proxy?: number
}

export type ExtraListener = 'SASL_PLAIN_TEXT' | 'TLS' | 'SASL_TLS' | 'PROXIED'

export interface KafkaSecurity {
  readonly username: string
  readonly password: string
  readonly authority: Certificate
  readonly server: Certificate
}

const PROTOCOLS: Readonly<Record<ExtraListener, string>> = {
  SASL_PLAIN_TEXT: 'SASL_PLAINTEXT',
  TLS: 'SSL',
  SASL_TLS: 'SASL_SSL',
  PROXIED: 'PLAINTEXT',
}

/** 22 characters of base64, of which the first is no `-`: the format tool would take it for an option. */
export function newClusterId(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0] ?? 0) & 0x7f
  return bytes.toString('base64url')
}

/** The server.properties of one broker of a KRaft cluster in which every broker is also a controller. */
export function brokerConfig(input: {
  readonly broker: BrokerPorts
  readonly brokers: readonly BrokerPorts[]
  readonly logDir: string
  readonly security: KafkaSecurity
  readonly settings: Readonly<Record<string, string>>
}): string {
  const { broker, brokers, logDir, security, settings } = input
  const extra = Object.entries(broker.extra) as [ExtraListener, number][]
  const replicas = String(Math.min(3, brokers.length))
  const listeners = [
    `PLAINTEXT://127.0.0.1:${broker.plain}`,
    ...extra.map(([name, port]) => `${name}://127.0.0.1:${port}`),
  ]
  const advertised = listeners.map((listener) =>
    listener.startsWith('PROXIED://') ? `PROXIED://127.0.0.1:${broker.proxy}` : listener,
  )
  const config: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': String(broker.id),
    'controller.quorum.voters': brokers.map(({ id, controller }) => `${id}@127.0.0.1:${controller}`).join(','),
    listeners: [...listeners, `CONTROLLER://127.0.0.1:${broker.controller}`].join(','),
    'advertised.listeners': advertised.join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': [
      'PLAINTEXT:PLAINTEXT',
      'CONTROLLER:PLAINTEXT',
      ...extra.map(([name]) => `${name}:${PROTOCOLS[name]}`),
    ].join(','),
    'log.dirs': logDir,
    'auto.create.topics.enable': 'false',
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': '5',
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': brokers.length > 1 ? '2' : '1',
    'transaction.state.log.num.partitions': '5',
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'log.cleaner.dedupe.buffer.size': '8388608',
    // A killed broker may come back only when its session has ended: 9 s by default.
    'broker.session.timeout.ms': '4000',
    'broker.heartbeat.interval.ms': '500',
    ...extra.reduce((all, [name]) => Object.assign(all, listenerSecurity(name, security)), {}),
    ...settings,
  }
  return `${Object.entries(config)
    .map(([key, value]) => `${key}=${value}`)
    .join('\n')}\n`
}

function listenerSecurity(name: ExtraListener, security: KafkaSecurity): Record<string, string> {
  const prefix = `listener.name.${name.toLowerCase()}`
  const config: Record<string, string> = {}
  if (PROTOCOLS[name].startsWith('SASL')) {
    const { username, password } = security
    config['sasl.enabled.mechanisms'] = 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512'
    config[`${prefix}.plain.sasl.jaas.config`] =
      `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`
    for (const bits of ['256', '512']) {
      config[`${prefix}.scram-sha-${bits}.sasl.jaas.config`] =
        'org.apache.kafka.common.security.scram.ScramLoginModule required;'
    }
  }
  if (PROTOCOLS[name].endsWith('SSL')) {
    config[`${prefix}.ssl.keystore.type`] = 'PEM'
    config[`${prefix}.ssl.keystore.key`] = pemValue(security.server.key)
    config[`${prefix}.ssl.keystore.certificate.chain`] = pemValue(security.server.cert)
    config[`${prefix}.ssl.truststore.type`] = 'PEM'
    config[`${prefix}.ssl.truststore.certificates`] = pemValue(security.authority.cert)
    // Checked when shown; without SASL it is the client's only name.
    config[`${prefix}.ssl.client.auth`] = 'requested'
  }
  return config
}

/** A properties file continues a line after a backslash. */
function pemValue(pem: string): string {
  return pem.trim().replaceAll('\n', '\\n')
}
