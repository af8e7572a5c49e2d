import { describe, expect, it } from 'vitest'
import {
  formatAgo,
  formatBytes,
  formatCount,
  formatLatency,
  formatRate,
  formatSeconds,
} from '../../../relay/console/page/format.ts'
import { judge, type Known } from '../../../relay/console/page/verdict.ts'
import type { RelaySection } from '../../../relay/console/state.ts'

const RELAY: RelaySection = {
  version: '1.0.0',
  slot: 'factlib_slot',
  prefixes: ['shop'],
  startedAtMs: 0,
  phase: 'streaming',
  notOk: null,
  behindSeconds: 0,
  behindIsAtLeast: false,
  pendingFacts: 0,
  pendingBytes: 0,
  heartbeatSeconds: null,
  receivedCount: 0,
  deliveredCount: 0,
  faults: [],
  mayRequeue: false,
  hasPayloads: false,
}
const known = (relay: Partial<RelaySection> = {}, over: Partial<Known> = {}): Known => ({
  live: 'live',
  relay: { ...RELAY, ...relay },
  slot: undefined,
  ended: undefined,
  ...over,
})

describe('the banner says', () => {
  it.each<[string, Known, string, string]>([
    ['that all is well', known(), 'good', 'Facts get through'],
    ['why it is not', known({ notOk: 'no broker' }), 'bad', 'Facts do not get through'],
    ['that it stands by', known({ phase: 'standby' }), 'idle', 'Standing by'],
    ['that it connects', known({ phase: 'connecting' }), 'busy', 'The relay is connecting to PostgreSQL'],
    ['that there is a backlog', known({ behindSeconds: 700 }), 'busy', 'Working off a backlog'],
    ['that nobody answers', known({}, { live: 'lost' }), 'bad', 'The relay does not answer'],
    [
      'that it was stopped',
      known({}, { live: 'lost', ended: { exitCode: 0, reason: null } }),
      'idle',
      'The relay was stopped',
    ],
    ['that the slot is lost', known({}, { ended: { exitCode: 10, reason: 'gone' } }), 'bad', 'The slot is lost'],
    ['that it halted', known({}, { ended: { exitCode: 13, reason: 'malformed' } }), 'bad', 'The relay has halted'],
  ])('%s', (_, given, state, headline) => {
    expect(judge(given)).toMatchObject({ state, headline })
  })

  it('the reason and the exit code, and how far behind it is', () => {
    expect(judge(known({ notOk: 'no broker' })).explanation).toBe('no broker')
    expect(judge(known({}, { ended: { exitCode: 13, reason: 'malformed' } })).explanation).toBe(
      'malformed (exit code 13)',
    )
    expect(judge(known({ behindSeconds: 700, behindIsAtLeast: true })).explanation).toContain('at least 12 min')
  })
})

it('writes numbers for reading', () => {
  expect([0, 1_023, 1_536, 268_435_456, 5e12].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.5 KiB',
    '256 MiB',
    '4.5 TiB',
  ])
  expect([0.04, 9.99, 59.6, 119, 120, 7_260, 400_000].map(formatSeconds)).toEqual([
    '0.0 s',
    '10.0 s',
    '60 s',
    '119 s',
    '2 min',
    '2 h 1 min',
    '4 d 15 h',
  ])
  expect([0, 0.34, 12_345.6].map(formatRate)).toEqual(['0', '0.3', '12,346'])
  expect([0, 1_999, 65_400].map((ms) => formatAgo(0, ms))).toEqual(['now', 'now', '65 s ago'])
  expect([12.4, 1_500].map(formatLatency)).toEqual(['12 ms', '1.5 s'])
  expect(formatCount(1_234_567)).toBe('1,234,567')
})
