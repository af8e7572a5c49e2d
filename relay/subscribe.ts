import { parseRelayOptions, type RelayOptions } from './config/settings.ts'
import type { Entry } from './entry.ts'
import { toReceivedFact } from './handler-lanes.ts'
import { silentLogger, silentObserver } from './observer.ts'
import { interpretMessage, interpretOrForeign } from './record.ts'
import { SlotReader } from './slot-reader.ts'
import { createWalSource } from './source/wal/wal-source.ts'
import type { ReceivedFact } from './types.ts'

/** A fact out of the slot, to be acknowledged by hand. */
export interface SubscribedFact extends ReceivedFact {
  /**
   * This fact is done and need not come again. Facts may be acknowledged in any order; PostgreSQL is told the end of the
   * last transaction before which nothing is open. Calling it twice does nothing.
   */
  ack(): void
}

/** `createRelay`'s options for prefix, database, slot and window; those of Kafka and routes have no meaning here. */
export interface SubscribeOptions extends Omit<RelayOptions, 'routes'> {
  /** Ends the loop; what was not acknowledged comes again. */
  readonly signal?: AbortSignal
}

/**
 * Reads a slot as a loop, without Kafka, under the relay's own ledger: at least once, in commit order, reconnecting by
 * itself. A fact that was yielded and not acknowledged comes again, with the same id and bytes, after a lost connection or
 * in the next loop. At most `windowFacts` facts and `windowBytes` bytes are unacknowledged at once: then the loop waits for `ack()`.
 *
 * @example
 * for await (const received of subscribeToSlot({ prefix: 'shop', databaseUrl, slotName: 'search' })) {
 *   await index(received.fact)
 *   received.ack()
 * }
 * @throws ConfigurationError every problem at once, before anything is touched; RelayHaltError when only an operator can help.
 */
export function subscribeToSlot(options: SubscribeOptions): AsyncGenerator<SubscribedFact, void, void> {
  const { signal, ...rest } = options
  const settings = parseRelayOptions(rest)
  const logger = options.logger ?? silentLogger
  const everyPrefix = settings.prefixes.includes('*')
  let queue: Entry[] = []
  const unacknowledged = new Set<Entry>()
  let wake: () => void = () => {}

  const reader = new SlotReader({
    source: createWalSource({ ...settings, logger }),
    slot: settings.slot,
    windowFacts: settings.windowFacts,
    windowBytes: settings.windowBytes,
    drainTimeoutMs: 0,
    logger,
    observer: options.observer ?? silentObserver,
    accepts: (prefix) => everyPrefix || settings.prefixes.includes(prefix),
    interpret: everyPrefix ? interpretOrForeign : interpretMessage,
    destination: {
      push: (entry) => {
        queue.push(entry)
        wake()
      },
      dropUnsent: () => {
        // Those that were yielded, too: they come again, and an acknowledgement of the old ones means nothing any more.
        const dropped = [...unacknowledged, ...queue]
        unacknowledged.clear()
        queue = []
        reader.dropped(dropped)
      },
    },
  })

  async function* facts(): AsyncGenerator<SubscribedFact, void, void> {
    let over = signal?.aborted ?? false
    let failure: Error | undefined
    const end = () => {
      over = true
      wake()
    }
    signal?.addEventListener('abort', end, { once: true })
    if (!over) void reader.start().catch(() => {})
    void reader.whenStopped().then((outcome) => {
      failure = outcome.error
      end()
    })
    try {
      while (!over) {
        const entry = queue.shift()
        if (entry) yield subscribed(entry)
        else
          await new Promise<void>((resolve) => {
            wake = resolve
            if (queue.length > 0 || over) resolve()
          })
      }
    } finally {
      signal?.removeEventListener('abort', end)
      await reader.stop()
    }
    if (failure) throw failure
  }

  function subscribed(entry: Entry): SubscribedFact {
    unacknowledged.add(entry)
    return {
      ...toReceivedFact(entry),
      ack: () => {
        if (unacknowledged.delete(entry)) reader.done([entry])
      },
    }
  }

  return facts()
}
