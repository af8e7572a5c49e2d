import { expect } from 'vitest'
import {
  type ChaosBench,
  type ChaosBenchOptions,
  type ChaosServers,
  createChaosBench,
  type RelayProcess,
} from './chaos.ts'
import { reachVerdict } from './chaos-verdict.ts'
import { Checker, type CheckResult, type Fault } from './checker.ts'
import { registerCleanup } from './cleanup.ts'
import { createTopics } from './kafka.ts'
import type { Load } from './load.ts'

/** A chaos bench whose relays write in transactions, and whose checker reads what is committed. */
export interface ExactlyOnceBench extends ChaosBench {
  /** The topic of positions, of this bench only. */
  readonly positions: string
  /** Stops the load; each committed fact must have been seen exactly once, in order. */
  verdict(scenario: string, load: Load, faults: readonly Fault[]): Promise<CheckResult>
}

/** Acknowledged by two of three: a broker that is killed takes nothing with it. */
const DURABLE = { 'min.insync.replicas': '2' } as const

export async function createExactlyOnceBench(
  servers: ChaosServers,
  options: ChaosBenchOptions = {},
): Promise<ExactlyOnceBench> {
  const copies = servers.kafka.brokers.length
  const config = { ...(copies > 1 ? DURABLE : {}), ...options.topic?.config }
  const bench = await createChaosBench(servers, { ...options, topic: { ...options.topic, config } })
  const positions = `${bench.prefix}.positions`
  await createTopics(servers.kafka.bootstrap, [
    { topic: positions, replicationFactor: copies, config: { ...config, 'cleanup.policy': 'compact' } },
  ])
  const checker = await Checker.open(servers.kafka.bootstrap, { ...bench.topics, committed: true })
  registerCleanup(() => checker.close())
  const exactlyOnce: ExactlyOnceBench = {
    ...bench,
    checker,
    positions,
    startRelay: (env = {}): RelayProcess =>
      bench.startRelay({ EXACTLY_ONCE: 'true', EXACTLY_ONCE_TOPIC: positions, ...env }),
    async verdict(scenario, load, faults) {
      const result = await reachVerdict(exactlyOnce, {
        scenario: `Exactly once: ${scenario}`,
        load,
        faults,
        brokers: copies,
        timeoutMs: 90_000,
      })
      expect(result.duplicates).toBe(0)
      return result
    },
  }
  return exactlyOnce
}

/** The fault is over now: resolves when committed facts come again, within 40 s. */
export async function recovered(bench: ExactlyOnceBench, name: string): Promise<Fault> {
  const fault = { name, overAtMs: Date.now() }
  await bench.checker.whenRecovered(fault.overAtMs, 40_000)
  return fault
}
