import { describe, expect, it } from 'vitest'
import { isOver, type LifecycleEvent, nextPhase, type Phase } from '../../relay/lifecycle.ts'

// Written out, not computed: the compiler demands every cell, and a change of the machine has to be made twice.
const EXPECTED: Record<Phase, Record<LifecycleEvent, Phase>> = {
  idle: {
    start: 'connecting',
    streaming: 'idle',
    slotInUse: 'idle',
    lost: 'idle',
    stop: 'stopped',
    closed: 'idle',
    halt: 'failed',
  },
  connecting: {
    start: 'connecting',
    streaming: 'streaming',
    slotInUse: 'standby',
    lost: 'connecting',
    stop: 'draining',
    closed: 'connecting',
    halt: 'failed',
  },
  standby: {
    start: 'standby',
    streaming: 'streaming',
    slotInUse: 'standby',
    lost: 'connecting',
    stop: 'draining',
    closed: 'standby',
    halt: 'failed',
  },
  streaming: {
    start: 'streaming',
    streaming: 'streaming',
    slotInUse: 'streaming',
    lost: 'connecting',
    stop: 'draining',
    closed: 'streaming',
    halt: 'failed',
  },
  draining: {
    start: 'draining',
    streaming: 'draining',
    slotInUse: 'draining',
    lost: 'draining',
    stop: 'draining',
    closed: 'stopped',
    halt: 'failed',
  },
  stopped: {
    start: 'stopped',
    streaming: 'stopped',
    slotInUse: 'stopped',
    lost: 'stopped',
    stop: 'stopped',
    closed: 'stopped',
    halt: 'stopped',
  },
  failed: {
    start: 'failed',
    streaming: 'failed',
    slotInUse: 'failed',
    lost: 'failed',
    stop: 'failed',
    closed: 'failed',
    halt: 'failed',
  },
}

const cells = Object.entries(EXPECTED).flatMap(([phase, row]) =>
  Object.entries(row).map(([event, next]) => [phase, event, next] as [Phase, LifecycleEvent, Phase]),
)

describe('lifecycle', () => {
  it.each(cells)('%s, %s → %s', (phase, event, next) => {
    expect(nextPhase(phase, event)).toBe(next)
  })

  it('is over where nothing leads on', () => {
    for (const [phase, row] of Object.entries(EXPECTED) as [Phase, Record<LifecycleEvent, Phase>][])
      expect(isOver(phase)).toBe(Object.values(row).every((next) => next === phase))
  })
})
