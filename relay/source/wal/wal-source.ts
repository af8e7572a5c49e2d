import { connectionAttempts, mayTryAnotherHost, toPgConfig } from '../../config/pg-config.ts'
import { SlotInUseError } from '../../errors.ts'
import type { Source } from '../source.ts'
import { NotPrimaryError, poolerError } from './slot.ts'
import type { RememberedSlot } from './slot-memory.ts'
import { WalSession, type WalSourceOptions } from './wal-session.ts'

/**
 * The slot as a source of facts. What it knows of the slot it keeps in the database, where the role may, and as long as
 * the process lives.
 *
 * @example const source = createWalSource({ ...settings, logger })
 */
export function createWalSource(options: WalSourceOptions): Source {
  let known: RememberedSlot | undefined
  return {
    async open(events, signal) {
      let failure: unknown
      let refusedBy: string | undefined
      for (const attempt of connectionAttempts(options.database)) {
        signal.throwIfAborted()
        // A server's own "no" is final, but for the same host's other way (TLS or not).
        if (refusedBy !== undefined && refusedBy !== attempt.host) break
        // The operator's word is about the gap that there was at the start, not about one that comes later.
        const acceptGap = options.acceptGap && known === undefined
        const target = toPgConfig(options.database, attempt)
        const session = new WalSession({ ...options, acceptGap, target, events, known })
        try {
          await session.open(signal)
          void session.whenClosed.then(() => {
            known = session.remembered
          })
          return session
        } catch (error) {
          await session.close(0)
          failure = error
          if (session.connected && !(error instanceof NotPrimaryError)) break
          if (!mayTryAnotherHost(error)) refusedBy = attempt.host
        }
      }
      throw toSourceError(failure, options.slot)
    },
  }
}

function toSourceError(error: unknown, slot: string): unknown {
  const code = (error as { code?: string }).code
  // 55006 object_in_use: "replication slot … is active for PID …".
  if (code === '55006') return new SlotInUseError(slot, { cause: error })
  return poolerError(error) ?? error
}
