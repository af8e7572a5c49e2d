import type { ClockFacts, Finding, TopicFacts } from './facts.ts'

/** Beyond this clocks are said to differ, milliseconds. */
const SKEW_MS = 2_000

/** The relay's clock against PostgreSQL's and Kafka's; record timestamps are the relay's, created-at may be PostgreSQL's. */
export function checkClocks(clocks: {
  readonly postgres: ClockFacts | undefined
  readonly kafka: ClockFacts | undefined
  readonly topics: readonly TopicFacts[]
}): Finding[] {
  const findings: Finding[] = []
  const add = (finding: Omit<Finding, 'area'>) => findings.push({ area: 'clock', ...finding })
  for (const [name, clock] of [
    ['PostgreSQL', clocks.postgres],
    ['Kafka', clocks.kafka],
  ] as const) {
    if (!clock) continue
    const off = Math.abs(clock.aheadMs)
    if (off - clock.uncertaintyMs <= SKEW_MS) continue
    add({
      code: 'CLOCK_SKEW',
      level: 'warning',
      what: `the clock of ${name} is ${(off / 1_000).toFixed(1)} s ${clock.aheadMs > 0 ? 'ahead of' : 'behind'} ours`,
      why: "Times of records and facts do not fit together, and latencies that are computed from them are wrong; far off, Kafka's retention and limits of timestamps are wrong too.",
      remedy: 'Run NTP on both machines: timedatectl set-ntp true; chronyc tracking',
    })
  }
  if (findings.length === 0 && (clocks.postgres || clocks.kafka)) {
    const names = [...(clocks.postgres ? ['PostgreSQL'] : []), ...(clocks.kafka ? ['Kafka'] : [])]
    add({ code: 'CLOCK', level: 'ok', what: `our clock agrees with that of ${names.join(' and ')}` })
  }
  const relayAheadMs = -(clocks.kafka?.aheadMs ?? 0) - (clocks.kafka?.uncertaintyMs ?? 0)
  for (const { name, config } of clocks.topics) {
    const limitMs = Number(config?.get('message.timestamp.after.max.ms') ?? Number.POSITIVE_INFINITY)
    if (relayAheadMs > limitMs)
      add({
        code: 'CLOCK_REFUSED',
        level: 'problem',
        what: `our clock is ${Math.round(relayAheadMs / 1_000)} s ahead of Kafka's, and topic "${name}" takes ${Math.round(limitMs / 1_000)} s`,
        why: 'Kafka refuses every record (INVALID_TIMESTAMP).',
        remedy: 'Set our clock: timedatectl set-ntp true',
      })
  }
  return findings
}
