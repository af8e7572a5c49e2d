import type { EndedSection, RelaySection, SlotSection } from '../state.ts'
import type { LiveState } from './connection.ts'
import { formatSeconds } from './format.ts'

/** What the banner says: the one answer that somebody came for. */
export interface Verdict {
  readonly state: 'good' | 'busy' | 'bad' | 'idle'
  readonly headline: string
  readonly explanation: string
}

export interface Known {
  readonly live: LiveState
  readonly relay: RelaySection | undefined
  readonly slot: SlotSection | undefined
  readonly ended: EndedSection | undefined
}

/** A relay that is this far behind, and gets facts through, works off a backlog; seconds. */
const BACKLOG_SECONDS = 10

const PHASES: Readonly<Record<string, string>> = {
  idle: 'starts',
  connecting: 'is connecting to PostgreSQL',
  draining: 'stops: it brings to Kafka what it has received',
  stopped: 'has stopped',
  failed: 'has failed',
}

/** Pure: from what is known to what is said. */
export function judge({ live, relay, slot, ended }: Known): Verdict {
  if (ended) return judgeEnd(ended, slot)
  if (live === 'lost' || live === 'ended')
    return {
      state: 'bad',
      headline: 'The relay does not answer',
      explanation: 'What is below is what it said last. The page goes on trying.',
    }
  if (!relay)
    return { state: 'idle', headline: 'Waiting for the relay', explanation: 'It is being asked for its state.' }
  if (relay.notOk !== null) return { state: 'bad', headline: 'Facts do not get through', explanation: relay.notOk }
  if (relay.phase === 'standby')
    return {
      state: 'idle',
      headline: 'Standing by',
      explanation: 'Another relay holds the slot. This one takes over when that one ends.',
    }
  if (relay.phase !== 'streaming')
    return {
      state: 'busy',
      headline: `The relay ${PHASES[relay.phase] ?? relay.phase}`,
      explanation: 'No fact is lost meanwhile: PostgreSQL keeps them.',
    }
  const behind = relay.behindSeconds ?? 0
  if (behind > BACKLOG_SECONDS)
    return {
      state: 'busy',
      headline: 'Working off a backlog',
      explanation: `Facts get through, ${relay.behindIsAtLeast ? 'at least ' : ''}${formatSeconds(behind)} after their commit.`,
    }
  return {
    state: 'good',
    headline: 'Facts get through',
    explanation: 'The slot is read, and Kafka takes what is in it.',
  }
}

function judgeEnd({ exitCode, reason }: EndedSection, slot: SlotSection | undefined): Verdict {
  if (reason === null)
    return {
      state: 'idle',
      headline: 'The relay was stopped',
      explanation: 'It was told to, and everything was confirmed that could be.',
    }
  const isLost = exitCode === 10 || slot?.findings.some(({ code }) => code === 'SLOT_LOST' || code === 'SLOT_GONE')
  return {
    state: 'bad',
    headline: isLost ? 'The slot is lost' : 'The relay has halted',
    explanation: `${reason} (exit code ${exitCode})`,
  }
}
