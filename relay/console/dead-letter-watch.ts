import { CliError } from '../cli/cli-error.ts'
import { type LookedThrough, lookAtDeadLetters } from '../cli/dead-letters.ts'
import { requeue } from '../cli/requeue.ts'
import type { Terminal } from '../cli/terminal.ts'
import type { RelaySettings } from '../types.ts'
import type { DeadLettersSection } from './state.ts'

/** Listed on the page; all are counted. */
const SHOWN = 50
/** Looked through from the end of each partition. */
const RECORDS_MAX = 1_000
const DETAIL_MAX = 500
/** While somebody looks: this often without a sign of change, milliseconds. */
const REFRESH_MS = 30_000
/** Not more often than this, milliseconds: each look opens connections. */
const GAP_MS = 3_000

/**
 * Reads the dead-letter topic now and then, while somebody looks, without holding a value; and requeues one.
 *
 * @example
 * const watch = new DeadLetterWatch(settings)
 * watch.refreshIfDue(recorder.deadLetterCount)
 * watch.section().openCount
 */
export class DeadLetterWatch {
  readonly #settings: RelaySettings
  #looked: (LookedThrough & { readonly atMs: number }) | undefined
  #failure: string | null = null
  #triedMs = Number.NEGATIVE_INFINITY
  #seenCount = 0
  #isStale = false
  #looking: Promise<void> | undefined
  #requeueing = false

  constructor(settings: RelaySettings) {
    this.#settings = settings
  }

  section(): DeadLettersSection {
    const open = (this.#looked?.letters ?? []).filter(({ isResolved }) => !isResolved)
    return {
      topic: this.#settings.deadLetter?.topic ?? null,
      lookedAtMs: this.#looked?.atMs ?? null,
      failure: this.#failure,
      openCount: open.length,
      isPartial: this.#looked?.isPartial ?? false,
      open: open
        .reverse()
        .slice(0, SHOWN)
        .map(({ id, cause, detail, topic, key, attempts, timestampMs }) => ({
          id,
          cause,
          detail: cut(detail),
          topic,
          key: cut(key.toString()),
          attempts,
          atMs: timestampMs,
        })),
    }
  }

  /** @param deadLetterCount of this process: when it has grown there is something new. */
  refreshIfDue(deadLetterCount: number): void {
    if (this.#settings.deadLetter === undefined || this.#looking) return
    const sinceMs = performance.now() - this.#triedMs
    const isDue = deadLetterCount !== this.#seenCount || this.#isStale || sinceMs > REFRESH_MS
    if (!isDue || sinceMs < GAP_MS) return
    this.#seenCount = deadLetterCount
    this.#triedMs = performance.now()
    this.#isStale = false
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined
    })
  }

  /**
   * The fact's own bytes into its topic, then the marker, as `factlib-relay dead-letters requeue` does.
   *
   * @returns what else is to be done, for a person; '' for nothing.
   * @throws CliError when it was not requeued, in words.
   */
  async requeue(id: string): Promise<string> {
    if (this.#requeueing) throw new CliError('another dead letter is being requeued: try again in a moment')
    this.#requeueing = true
    const terminal = new QuietTerminal()
    try {
      await requeue(this.#settings, { id, yes: true }, terminal)
      return terminal.notes.trim()
    } finally {
      this.#requeueing = false
      this.#isStale = true
    }
  }

  async #look(): Promise<void> {
    try {
      this.#looked = { ...(await lookAtDeadLetters(this.#settings, RECORDS_MAX)), atMs: Date.now() }
      this.#failure = null
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error)
    }
  }
}

/** Keeps what a command would say to a person. */
class QuietTerminal implements Terminal {
  notes = ''
  readonly isLive = false
  readonly width = 100
  readonly paint = { bold: same, dim: same, red: same, green: same, yellow: same }
  write(): void {}
  note(text: string): void {
    this.notes += text
  }
  async confirm(): Promise<boolean> {
    return false
  }
}

function same(text: string): string {
  return text
}

function cut(text: string): string {
  return text.length <= DETAIL_MAX ? text : `${text.slice(0, DETAIL_MAX)}…`
}
