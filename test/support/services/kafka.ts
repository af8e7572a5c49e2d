import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Certificate, createCertificate } from './certificates.ts'
import { freePort } from './free-port.ts'
import { findJava } from './java.ts'
import { type BrokerPorts, brokerConfig, type ExtraListener, type KafkaSecurity, newClusterId } from './kafka-config.ts'
import { KAFKA_VERSION, kafkaJars, LOG_CONFIG } from './kafka-jars.ts'
import { type ServerProcess, startServerProcess } from './server-process.ts'
import { guard } from './watchdog.ts'

export interface KafkaOptions {
  /** Each is broker and controller. Default 1. */
  readonly brokers?: 1 | 3
  /** Lines of server.properties over the defaults. */
  readonly settings?: Readonly<Record<string, string>>
  /** For messages and the data folder's name. Default `main`. */
  readonly name?: string
  /** Opens a listener with SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512); with `tls` also one with both. Default false. */
  readonly sasl?: boolean
  /** Opens a listener with TLS, where a client may show `security.client`. Default false. */
  readonly tls?: boolean
  /**
   * Opens one more plain-text listener on `port`, and advertises what this returns instead: the port of a proxy before it.
   * Called once for each broker, before it starts.
   */
  readonly proxy?: (port: number, brokerId: number) => Promise<number>
}

export interface KafkaBroker {
  readonly id: number
  /** Of the plain-text listener. */
  readonly port: number
  /** Undefined while it is stopped. */
  readonly pid: number | undefined
  /** SIGKILL. */
  kill(): Promise<void>
  /** SIGTERM: a controlled shutdown, leaders move first. */
  stop(): Promise<void>
  /** Again, on the same ports and data. */
  start(): Promise<void>
  /** Freezes it (SIGSTOP): connections stay open, nothing answers. */
  pause(): void
  resume(): void
  log(): string
}

export interface KafkaCluster extends AsyncDisposable {
  /** `127.0.0.1:port` of each broker, plain text. */
  readonly bootstrap: string[]
  /** The same for the other listeners; empty when not asked for. */
  readonly listeners: {
    readonly sasl: string[]
    readonly tls: string[]
    readonly saslTls: string[]
    readonly proxied: string[]
  }
  readonly security: {
    readonly username: string
    readonly password: string
    /** PEM of the authority that signed the brokers' and the client's certificates. */
    readonly ca: string
    readonly client: { readonly cert: string; readonly key: string }
  }
  readonly brokers: readonly KafkaBroker[]
  /** Runs one of Kafka's own tools, `kafka.admin.ConfigCommand` say, and returns what it printed. */
  tool(mainClass: string, args: readonly string[]): Promise<string>
  /** All brokers, in good order. */
  stop(): Promise<void>
  /** Ends all brokers at once and deletes their data. Safe to call twice. */
  remove(): Promise<void>
}

const START_TIMEOUT_MS = 60_000
const JVM_OPTIONS = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData']

/**
 * Starts a real Apache Kafka (KRaft) of its own on free loopback ports; topics are not created by themselves.
 *
 * It ends with this process, also after SIGKILL; call `remove()` when done.
 *
 * @example
 * const kafka = await startKafka({ brokers: 3 })
 * await kafka.brokers[0].kill()
 * await kafka.remove()
 * @throws when Java 17 or the jars cannot be had, or a broker does not start (the message ends with its log)
 */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaCluster> {
  const { brokers: count = 1, settings = {}, name = 'main' } = options
  const [java, jars] = await Promise.all([findJava(), kafkaJars()])
  const home = await mkdtemp(join(tmpdir(), `factlib-kafka-${name}-`))
  const releaseHome = guard({ kind: 'folder', path: home })
  const ports = await Promise.all(Array.from({ length: count }, (_, index) => brokerPorts(index + 1, options)))
  const authority = createCertificate({ commonName: 'factlib test authority' })
  const security: KafkaSecurity & { readonly client: Certificate } = {
    username: 'factlib',
    password: randomBytes(12).toString('hex'),
    authority,
    server: createCertificate({ commonName: 'localhost', issuer: authority }),
    client: createCertificate({ commonName: 'factlib-client', issuer: authority }),
  }
  const runtime: Runtime = { java, classPath: join(jars, '*'), home }
  const clusterId = newClusterId()
  const brokers = ports.map((broker) => new LocalBroker(runtime, broker, name))
  const cluster = new LocalCluster(runtime, brokers, ports, security, releaseHome)
  try {
    await Promise.all(
      brokers.map(async (broker, index) => {
        const logDir = join(home, `broker-${broker.id}`)
        const config = { broker: ports[index] as BrokerPorts, brokers: ports, logDir, security, settings }
        await mkdir(logDir)
        await writeFile(broker.configFile, brokerConfig(config), { mode: 0o600 })
        await broker.format(clusterId, options.sasl ? security : undefined)
        await broker.start()
      }),
    )
    return cluster
  } catch (error) {
    await cluster.remove()
    throw error
  }
}

interface Runtime {
  readonly java: string
  readonly classPath: string
  readonly home: string
}

async function brokerPorts(id: number, options: KafkaOptions): Promise<BrokerPorts> {
  const names: ExtraListener[] = []
  if (options.sasl) names.push('SASL_PLAIN_TEXT')
  if (options.tls) names.push('TLS')
  if (options.sasl && options.tls) names.push('SASL_TLS')
  if (options.proxy) names.push('PROXIED')
  const extra: Partial<Record<ExtraListener, number>> = {}
  for (const name of names) extra[name] = await freePort()
  const plain = await freePort()
  const controller = await freePort()
  if (!options.proxy) return { id, plain, controller, extra }
  return { id, plain, controller, extra, proxy: await options.proxy(extra.PROXIED as number, id) }
}

class LocalBroker implements KafkaBroker {
  readonly id: number
  readonly port: number
  readonly configFile: string
  readonly #runtime: Runtime
  readonly #name: string
  #process: ServerProcess | undefined

  constructor(runtime: Runtime, ports: BrokerPorts, name: string) {
    this.id = ports.id
    this.port = ports.plain
    this.configFile = join(runtime.home, `broker-${ports.id}.properties`)
    this.#runtime = runtime
    this.#name = `Kafka ${KAFKA_VERSION} (${name}, broker ${ports.id})`
  }

  get pid(): number | undefined {
    return this.#process && !this.#process.exited ? this.#process.pid : undefined
  }

  log(): string {
    return this.#process?.log() ?? ''
  }

  async format(clusterId: string, scram: { username: string; password: string } | undefined): Promise<void> {
    const args = ['format', '-t', clusterId, '-c', this.configFile]
    for (const bits of scram ? ['256', '512'] : []) {
      args.push('--add-scram', `SCRAM-SHA-${bits}=[name=${scram?.username},password=${scram?.password}]`)
    }
    await runJava(this.#runtime, 'kafka.tools.StorageTool', args)
  }

  async start(): Promise<void> {
    if (this.pid !== undefined) throw new Error(`${this.#name} runs already (pid ${this.pid})`)
    this.#process = await startServerProcess({
      name: this.#name,
      file: this.#runtime.java,
      args: [...JVM_OPTIONS, ...javaArgs(this.#runtime, 'kafka.Kafka'), this.configFile],
      env: { PATH: process.env['PATH'] },
      cwd: this.#runtime.home,
      readyLine: /Kafka Server started/,
      startTimeoutMs: START_TIMEOUT_MS,
      orphanSignal: 'SIGKILL',
    })
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  pause(): void {
    this.#process?.signal('SIGSTOP')
  }

  resume(): void {
    this.#process?.signal('SIGCONT')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#process?.signal(signal)
    await this.#process?.whenExited()
  }
}

class LocalCluster implements KafkaCluster {
  readonly bootstrap: string[]
  readonly listeners: KafkaCluster['listeners']
  readonly security: KafkaCluster['security']
  readonly brokers: readonly LocalBroker[]
  readonly #runtime: Runtime
  readonly #releaseHome: () => void

  constructor(
    runtime: Runtime,
    brokers: readonly LocalBroker[],
    ports: readonly BrokerPorts[],
    security: KafkaSecurity & { readonly client: Certificate },
    releaseHome: () => void,
  ) {
    this.#runtime = runtime
    this.#releaseHome = releaseHome
    this.brokers = brokers
    this.bootstrap = brokers.map(({ port }) => `127.0.0.1:${port}`)
    const addresses = (port: (broker: BrokerPorts) => number | undefined): string[] =>
      ports
        .map(port)
        .filter((found) => found !== undefined)
        .map((found) => `127.0.0.1:${found}`)
    this.listeners = {
      sasl: addresses(({ extra }) => extra.SASL_PLAIN_TEXT),
      tls: addresses(({ extra }) => extra.TLS),
      saslTls: addresses(({ extra }) => extra.SASL_TLS),
      proxied: addresses(({ proxy }) => proxy),
    }
    const { username, password, authority, client } = security
    this.security = { username, password, ca: authority.cert, client: { cert: client.cert, key: client.key } }
  }

  tool(mainClass: string, args: readonly string[]): Promise<string> {
    return runJava(this.#runtime, mainClass, args)
  }

  async stop(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.stop()))
  }

  async remove(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.kill()))
    await rm(this.#runtime.home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    this.#releaseHome()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove()
  }
}

function javaArgs(runtime: Runtime, mainClass: string): string[] {
  return [`-Dlog4j2.configurationFile=${LOG_CONFIG}`, '-cp', runtime.classPath, mainClass]
}

async function runJava(runtime: Runtime, mainClass: string, args: readonly string[]): Promise<string> {
  const command = ['-XX:TieredStopAtLevel=1', ...javaArgs(runtime, mainClass), ...args]
  try {
    const { stdout } = await promisify(execFile)(runtime.java, command, { cwd: runtime.home, timeout: 60_000 })
    return stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    // Not `cause`: it holds the command line, and that may hold a password.
    throw new Error(`${mainClass} failed: ${(stderr + stdout).slice(-1_000).trim()}`)
  }
}
