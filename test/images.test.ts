import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { validate } from 'dockerfile-utils'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { OPTION_ROWS } from '../relay/config/options.ts'
import { parseRelaySettings } from '../relay/config/settings.ts'
import { KAFKA_VERSION } from './support/services/kafka-jars.ts'

// Images and manifests, as far as they can be checked where no engine runs: they parse, fit each other, and say what the
// relay understands.

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(`${root}${path}`, 'utf8')

type Variables = Readonly<Record<string, string>>

/** The relay's own judgement; also that no variable is one that it does not know. */
function settingsOf(env: Variables) {
  const known = OPTION_ROWS.flatMap((row) => row.env)
  expect(Object.keys(env).filter((name) => !known.includes(name))).toEqual([])
  const configuration = parseRelaySettings({ env })
  expect(configuration.warnings).toEqual([])
  return configuration
}

const { http, settings: defaults } = parseRelaySettings({
  env: { WAL_PREFIX: 'x', MASTER_DATABASE_URL: 'postgres://a@b/c', KAFKA_BROKERS: 'a:1' },
})
/** What a stop may take (relay/cli/run.ts), seconds. */
const STOP_SECONDS = defaults.drainTimeoutMs / 1_000 + 5

describe('Dockerfile', () => {
  const text = read('Dockerfile')
  const lines = text.split('\n').filter((line) => !line.startsWith('#'))
  const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')))

  it('has nothing that a linter complains of', () => {
    expect(validate(text).map(({ range, message }) => `${range.start.line + 1}: ${message}`)).toEqual([])
    expect(validate('FRM node\n')).not.toEqual([])
  })

  it('ends in an image that runs as nobody special, tells whether it is alive, and gets signals', () => {
    const of = (instruction: string) => last.filter((line) => line.startsWith(`${instruction} `))
    expect(of('USER')).toEqual(['USER node'])
    expect(text).toContain('/livez')
    expect(of('HEALTHCHECK')).toHaveLength(1)
    expect(of('ENTRYPOINT')[0]).toMatch(/^ENTRYPOINT \["node", /)
    expect(of('EXPOSE')).toEqual([`EXPOSE ${http.healthPort} ${http.metricsPort}`])
    expect(last.join('\n')).not.toMatch(/password|secret|token/i)
    expect(lines.filter((line) => line.startsWith('FROM ') && /:latest|FROM \w+ AS(?! )/.test(line))).toEqual([])
  })

  it('copies what there is, and .dockerignore lets it through', () => {
    const allowed = read('.dockerignore').split('\n')
    const copied = lines
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from'))
      .flatMap((line) => line.split(/\s+/).slice(1, -1))
    expect(copied.length).toBeGreaterThan(8)
    for (const name of copied) {
      expect(existsSync(`${root}${name}`), name).toBe(true)
      expect(allowed, name).toContain(`!${name}`)
    }
    expect(allowed[0]).toBe('*')
    const { bin } = JSON.parse(read('package.json')) as { bin: Variables }
    expect(text).toContain(`node_modules/factlib/${bin['factlib-relay']?.replace('./', '')}`)
  })
})

describe('compose.yaml', () => {
  interface Service {
    readonly image?: string
    readonly build?: { readonly target: string }
    readonly environment: Variables
    readonly read_only?: boolean
    readonly cap_drop?: readonly string[]
    readonly stop_grace_period?: string
    readonly ports?: readonly string[]
    readonly command?: readonly string[]
    readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
    readonly healthcheck?: { readonly test: readonly string[] }
  }
  const { services } = parse(read('compose.yaml')) as { services: Readonly<Record<string, Service>> }
  const { postgres, kafka, relay, shop } = services as Record<'postgres' | 'kafka' | 'relay' | 'shop', Service>

  it('has four services that wait for each other, in versions that tests run on', () => {
    expect(Object.keys(services)).toEqual(['postgres', 'kafka', 'relay', 'shop'])
    expect(kafka.image).toBe(`apache/kafka:${KAFKA_VERSION}`)
    expect(postgres.image).toMatch(/^postgres:18-/)
    expect(postgres.command).toContain('-cwal_level=logical')
    for (const { depends_on = {} } of Object.values(services))
      for (const [name, { condition }] of Object.entries(depends_on))
        expect([condition, services[name]?.healthcheck], name).toEqual(['service_healthy', expect.anything()])
    expect(Object.keys(shop.depends_on ?? {})).toEqual(['relay'])
    for (const { build } of [relay, shop]) expect(read('Dockerfile')).toContain(`AS ${build?.target}\n`)
  })

  it('gives the relay settings that it understands, and no rights', () => {
    const { settings } = settingsOf(relay.environment)
    expect(settings.database.hosts).toEqual([expect.objectContaining({ host: 'postgres', port: 5432 })])
    expect(settings.database.password).toBe(postgres.environment['POSTGRES_PASSWORD'])
    expect(settings.database.database).toBe(postgres.environment['POSTGRES_DB'])
    expect(kafka.environment['KAFKA_ADVERTISED_LISTENERS']).toBe(`PLAINTEXT://${settings.kafka.brokers[0]}`)
    expect(relay).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
    expect(relay.ports).toEqual([http.healthPort, http.metricsPort].map((port) => `127.0.0.1:${port}:${port}`))
    expect(Number.parseInt(relay.stop_grace_period ?? '', 10)).toBeGreaterThan(STOP_SECONDS)
    expect(relay.healthcheck?.test.at(-1)).toContain(`:${http.healthPort}/readyz`)
    expect(shop.environment['DATABASE_URL']).toContain(`@postgres:5432/${settings.database.database}`)
  })
})

describe('ops/kubernetes', () => {
  interface Manifest {
    readonly kind: string
    readonly metadata?: { readonly name: string; readonly labels: Variables }
    readonly data?: Variables
    readonly stringData?: Variables
    readonly spec?: unknown
    readonly resources?: readonly string[]
  }
  const files = readdirSync(`${root}ops/kubernetes`)
  const manifests = files.map((name) => parse(read(`ops/kubernetes/${name}`)) as Manifest)
  const of = (kind: string) => manifests.find((manifest) => manifest.kind === kind) as Manifest
  /** What is at `a.b.0` of a manifest. */
  const at = (kind: string, path: string): unknown =>
    `spec.${path}`.split('.').reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], of(kind))
  const pod = (path: string) => at('Deployment', `template.spec.${path}`)
  const container = (path: string) => pod(`containers.0.${path}`)

  it('the kustomization names every file, and all are one application', () => {
    expect([...(of('Kustomization').resources ?? []), 'kustomization.yaml'].sort()).toEqual([...files].sort())
    for (const { kind, metadata } of manifests)
      if (kind !== 'Kustomization')
        expect(metadata, kind).toEqual({
          name: 'factlib-relay',
          labels: { 'app.kubernetes.io/name': 'factlib-relay' },
        })
    const labels = at('Deployment', 'template.metadata.labels')
    for (const selector of [
      at('Deployment', 'selector.matchLabels'),
      at('Service', 'selector'),
      at('PodDisruptionBudget', 'selector.matchLabels'),
      at('ServiceMonitor', 'selector.matchLabels'),
    ])
      expect(selector).toEqual(labels)
  })

  it('gives the relay settings that it understands', () => {
    settingsOf({ ...of('ConfigMap').data, ...of('Secret').stringData })
    expect(container('envFrom')).toEqual([
      { configMapRef: { name: 'factlib-relay' } },
      { secretRef: { name: 'factlib-relay' } },
    ])
    expect(container('image')).toBe(`factlib-relay:${JSON.parse(read('package.json')).version}`)
  })

  it('runs two, probes them by what each is for, and lets them drain', () => {
    expect(at('Deployment', 'replicas')).toBe(2)
    expect(at('PodDisruptionBudget', 'minAvailable')).toBe(1)
    expect(container('livenessProbe.httpGet')).toEqual({ path: '/livez', port: 'health' })
    expect(container('readinessProbe.httpGet')).toEqual({ path: '/readyz', port: 'health' })
    expect(pod('terminationGracePeriodSeconds')).toBeGreaterThan(STOP_SECONDS)
    expect(container('ports')).toEqual([
      { name: 'health', containerPort: http.healthPort },
      { name: 'metrics', containerPort: http.metricsPort },
    ])
    expect(at('ServiceMonitor', 'endpoints')).toEqual([{ port: 'metrics', path: '/metrics', interval: '10s' }])
  })

  it('gives it no rights', () => {
    expect(at('Deployment', 'template.spec')).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000 },
    })
    expect(container('securityContext')).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
  })
})
