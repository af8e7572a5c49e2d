// Which fault comes when: pure, so that a seed means the same run again.

export type FaultKind =
  | 'relay killed'
  | 'relay stopped (SIGTERM)'
  | 'relay stands still'
  | 'backend terminated'
  | 'PostgreSQL crashes'
  | 'PostgreSQL restarts'
  | 'PostgreSQL killed'
  | 'PostgreSQL cut'
  | 'PostgreSQL cut inside a frame'
  | 'PostgreSQL black hole'
  | 'PostgreSQL slow'
  | 'Kafka killed'
  | 'Kafka stops'
  | 'Kafka stands still'
  | 'Kafka cut'
  | 'Kafka cut inside a frame'
  | 'Kafka black hole'
  | 'Kafka slow'

/** How often each comes, relative to the others. The short ones come more often, so that more of them fit. */
const WEIGHTS: Readonly<Record<FaultKind, number>> = {
  'relay killed': 4,
  'relay stopped (SIGTERM)': 2,
  'relay stands still': 2,
  'backend terminated': 3,
  'PostgreSQL crashes': 2,
  'PostgreSQL restarts': 2,
  'PostgreSQL killed': 1,
  'PostgreSQL cut': 3,
  'PostgreSQL cut inside a frame': 4,
  'PostgreSQL black hole': 2,
  'PostgreSQL slow': 1,
  'Kafka killed': 1,
  'Kafka stops': 1,
  'Kafka stands still': 1,
  'Kafka cut': 3,
  'Kafka cut inside a frame': 4,
  'Kafka black hole': 2,
  'Kafka slow': 1,
}

export interface PlannedFault {
  readonly kind: FaultKind
  /** How long it lasts; 0: it is over at once. */
  readonly lastsMs: number
  /** Calm before it, under load. */
  readonly calmMs: number
  /** Bytes until a cut inside a frame. */
  readonly bytes: number
  readonly direction: 'toServer' | 'toClient'
  /** Counts on from any broker or relay. */
  readonly which: number
}

/**
 * The faults of a seed, endless: whoever asks takes as many as there is time for.
 *
 * @example for (const fault of planFaults(7)) { … }
 */
export function* planFaults(seed: number): Generator<PlannedFault, never> {
  const random = createRandom(seed)
  const kinds = Object.entries(WEIGHTS).flatMap(([kind, weight]) => Array<FaultKind>(weight).fill(kind as FaultKind))
  for (;;) {
    // Each number is drawn whatever the kind, so that the plan does not depend on which of them are used.
    yield {
      kind: kinds[Math.floor(random() * kinds.length)] as FaultKind,
      lastsMs: 500 + Math.floor(random() * 5_500),
      calmMs: 200 + Math.floor(random() * 1_800),
      bytes: Math.floor(2 ** (random() * 18)),
      direction: random() < 0.5 ? 'toServer' : 'toClient',
      which: Math.floor(random() * 6),
    }
  }
}

/** Mulberry32: small, and the same everywhere. Numbers from 0 up to 1. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
