import { setTimeout as pause } from 'node:timers/promises'
import {
  type ChaosBench,
  type ChaosServers,
  createChaosBench,
  healProxy,
  type RelayProcess,
  readTruth,
} from './chaos.ts'
import { type PlannedFault, planFaults } from './chaos-plan.ts'
import type { CheckResult, Fault } from './checker.ts'
import { createExactlyOnceBench } from './exactly-once-bench.ts'
import { waitFor } from './wait.ts'

export interface ChaosRunOptions {
  readonly servers: ChaosServers
  readonly seed: number
  readonly minutes: number
  readonly factsPerSecond?: number
  /** The relays write in Kafka transactions, and a duplicate is a failure too. Default false. */
  readonly exactlyOnce?: boolean
  /** A line for each fault. */
  readonly say?: (line: string) => void
}

export interface ChaosRunResult extends CheckResult {
  readonly faults: number
  /** What the status frames did wrong. */
  readonly frameProblems: readonly string[]
  /** Relays that ended by themselves: exit codes. */
  readonly deaths: readonly string[]
}

/** A fault that is not over after this is a failure: the relay has to come back without a human. */
const RECOVERY_LIMIT_MS = 40_000
const RELAYS = 2

/**
 * Two relays on one slot under load, and one fault of the seed's plan after another; the next begins when facts come again.
 *
 * @example const result = await runChaos({ servers, seed: 1, minutes: 2 })
 * @throws when facts do not come again within 40 s of the end of a fault; the message names the fault
 */
export async function runChaos(options: ChaosRunOptions): Promise<ChaosRunResult> {
  const { servers, seed, minutes, say = () => {} } = options
  const createBench = options.exactlyOnce ? createExactlyOnceBench : createChaosBench
  const bench = await createBench(servers, { databaseSettings: { wal_sender_timeout: '5s' } })
  const run = new ChaosRun(bench, servers)
  await run.start()
  const load = bench.startLoad({ factsPerSecond: options.factsPerSecond ?? 400 })
  await load.whenCommitted(200)
  const endMs = performance.now() + minutes * 60_000
  const faults: Fault[] = []
  for (const planned of planFaults(seed)) {
    if (performance.now() >= endMs) break
    await pause(planned.calmMs)
    await run.cause(planned)
    const overAtMs = Date.now()
    const recoveryMs = await bench.checker.whenRecovered(overAtMs, RECOVERY_LIMIT_MS)
    faults.push({ name: planned.kind, overAtMs })
    say(`${String(faults.length).padStart(4)}  ${planned.kind.padEnd(30)} back after ${Math.round(recoveryMs)} ms`)
  }
  await load.stop()
  const truth = await readTruth(bench.database.url)
  await bench.checker.whenDelivered(truth, 60_000).catch(() => {})
  await bench.whenAllConfirmed()
  await bench.checker.read()
  const result = bench.checker.judge({ truth, faults, optional: load.optional })
  const frameProblems = [...bench.watch.problems, ...bench.watch.findEarlyConfirmations(bench.checker.deliveredAtMs)]
  await run.stop()
  return { ...result, faults: faults.length, frameProblems, deaths: run.deaths }
}

class ChaosRun {
  readonly deaths: string[] = []
  readonly #bench: ChaosBench
  readonly #servers: ChaosServers
  #relays: RelayProcess[] = []
  #stopping = false

  constructor(bench: ChaosBench, servers: ChaosServers) {
    this.#bench = bench
    this.#servers = servers
  }

  async start(): Promise<void> {
    const first = this.#startRelay()
    await first.whenStreaming()
    for (let more = 1; more < RELAYS; more++) await this.#startRelay().whenLine('standing by', 30_000)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#relays.map((relay) => relay.stop()))
  }

  /** Resolves when the fault is over: from then on nothing is in the relay's way. */
  async cause(fault: PlannedFault): Promise<void> {
    const { postgres, kafka, kafkaProxies } = this.#servers
    const { proxy, slot, database } = this.#bench
    const broker = kafka.brokers[fault.which % kafka.brokers.length] as (typeof kafka.brokers)[number]
    const kafkaProxy = kafkaProxies[fault.which % kafkaProxies.length] as (typeof kafkaProxies)[number]
    switch (fault.kind) {
      case 'relay killed': {
        const relay = await this.#working()
        await this.#expectEnd(relay, () => relay.kill())
        return
      }
      case 'relay stopped (SIGTERM)': {
        const relay = await this.#working()
        await this.#expectEnd(relay, async () => {
          const { code } = await relay.stop()
          if (code !== 0) this.deaths.push(`SIGTERM: ${code}`)
        })
        return
      }
      case 'relay stands still': {
        const relay = await this.#working()
        relay.signal('SIGSTOP')
        // Half of them are longer than wal_sender_timeout.
        await pause(fault.lastsMs * 2)
        relay.signal('SIGCONT')
        return
      }
      case 'backend terminated': {
        const pid = await slot.activePid()
        if (pid !== undefined) await database.query('SELECT pg_terminate_backend($1)', [pid])
        return
      }
      case 'PostgreSQL crashes':
        await postgres.stop('immediate')
        await pause(fault.lastsMs / 2)
        await postgres.start()
        return
      case 'PostgreSQL restarts': {
        const sinceMs = performance.now()
        await postgres.stop('fast')
        const tookMs = performance.now() - sinceMs
        if (tookMs > 10_000) this.deaths.push(`a fast stop of PostgreSQL took ${Math.round(tookMs)} ms`)
        await postgres.start()
        return
      }
      case 'PostgreSQL killed':
        await postgres.kill()
        await postgres.start()
        return
      case 'PostgreSQL cut':
        proxy.cut()
        return
      case 'PostgreSQL cut inside a frame':
        await this.#cutInside(proxy, fault)
        return
      case 'PostgreSQL black hole':
        proxy.blackhole(true, fault.direction)
        await pause(fault.lastsMs)
        proxy.cut()
        healProxy(proxy)
        return
      case 'PostgreSQL slow':
        proxy.delayMs = 150
        await pause(fault.lastsMs)
        healProxy(proxy)
        return
      case 'Kafka killed':
        await broker.kill()
        await pause(fault.lastsMs / 2)
        await broker.start()
        return
      case 'Kafka stops':
        await broker.stop()
        await broker.start()
        return
      case 'Kafka stands still':
        broker.pause()
        await pause(fault.lastsMs * 2)
        broker.resume()
        return
      case 'Kafka cut':
        kafkaProxy.cut()
        return
      case 'Kafka cut inside a frame':
        await this.#cutInside(kafkaProxy, fault)
        return
      case 'Kafka black hole':
        kafkaProxy.blackhole(true, fault.direction)
        await pause(fault.lastsMs * 2)
        kafkaProxy.cut()
        healProxy(kafkaProxy)
        return
      case 'Kafka slow':
        kafkaProxy.delayMs = 300
        await pause(fault.lastsMs)
        healProxy(kafkaProxy)
        return
    }
  }

  /** It comes when so many bytes have passed, or not at all where hardly any do. */
  async #cutInside(proxy: ChaosBench['proxy'], { bytes, direction }: PlannedFault): Promise<void> {
    const at = proxy.bytes[direction] + bytes
    proxy.cutAfter(bytes, direction)
    await waitFor(() => proxy.bytes[direction] >= at, { what: 'the cut', timeoutMs: 10_000 }).catch(() => {})
  }

  /** The relay that holds the slot, as its log says; any, while none does. */
  async #working(): Promise<RelayProcess> {
    const rank = (relay: RelayProcess): number => {
      const output = relay.output()
      return (
        output.lastIndexOf('"streaming"') -
        Math.max(output.lastIndexOf('standing by'), output.lastIndexOf('connecting again'))
      )
    }
    return [...this.#relays].sort((a, b) => rank(b) - rank(a))[0] as RelayProcess
  }

  /** Ends a relay on purpose, and has another in its place. */
  async #expectEnd(relay: RelayProcess, end: () => Promise<unknown>): Promise<void> {
    this.#relays = this.#relays.filter((one) => one !== relay)
    await end()
    this.#startRelay()
  }

  #startRelay(): RelayProcess {
    const relay = this.#bench.startRelay()
    this.#relays.push(relay)
    void relay.whenExited(2 ** 31 - 1).then(({ code, signal }) => {
      // Ended by itself. An orchestrator would start another; here that alone is a failure.
      if (!this.#stopping && this.#relays.includes(relay))
        this.deaths.push(`exit ${code ?? signal}: ${relay.output().trimEnd().split('\n').at(-1)?.slice(0, 500)}`)
    })
    return relay
  }
}
