/**
 * The relay's phases, and the only ways between them. Pure: relay/slot-reader.ts feeds it events and acts on the phase.
 *
 *   idle ──start──▶ connecting ──streaming──▶ streaming ──stop──▶ draining ──closed──▶ stopped
 *                    │  ▲  │ slotInUse          │ lost              │ lost
 *                    │  │  ▼                    ▼                   ▼
 *                    │  └─ standby ◀──────── connecting           stopped
 *                    └──stop──▶ stopped      (any) ──halt──▶ failed
 */
export type Phase = 'idle' | 'connecting' | 'streaming' | 'draining' | 'standby' | 'stopped' | 'failed'

export type LifecycleEvent =
  /** start() was called. */
  | 'start'
  /** The slot answers: facts can come. */
  | 'streaming'
  /** Another relay holds the slot. */
  | 'slotInUse'
  /** The connection to PostgreSQL is gone. */
  | 'lost'
  /** SIGTERM, or stop(). */
  | 'stop'
  /** Drained and closed. */
  | 'closed'
  /** Something a restart cannot mend. */
  | 'halt'

const stay = (phase: Phase): Record<LifecycleEvent, Phase> => ({
  start: phase,
  streaming: phase,
  slotInUse: phase,
  lost: phase,
  stop: phase,
  closed: phase,
  halt: phase,
})

/** Every cell of the table; an event that means nothing in a phase leaves it as it is. */
export const TRANSITIONS: Record<Phase, Record<LifecycleEvent, Phase>> = {
  idle: { ...stay('idle'), start: 'connecting', stop: 'stopped', halt: 'failed' },
  connecting: {
    ...stay('connecting'),
    streaming: 'streaming',
    slotInUse: 'standby',
    stop: 'draining',
    halt: 'failed',
  },
  standby: { ...stay('standby'), streaming: 'streaming', lost: 'connecting', stop: 'draining', halt: 'failed' },
  streaming: { ...stay('streaming'), lost: 'connecting', stop: 'draining', halt: 'failed' },
  draining: { ...stay('draining'), closed: 'stopped', halt: 'failed' },
  stopped: stay('stopped'),
  failed: stay('failed'),
}

export function nextPhase(phase: Phase, event: LifecycleEvent): Phase {
  return TRANSITIONS[phase][event]
}

export function isOver(phase: Phase): boolean {
  return phase === 'stopped' || phase === 'failed'
}
