/**
 * When to send a status frame. Pure: times come in as monotonic milliseconds.
 *
 * - A position that moved, or a reply that the server asked for: at once, but at most 10 a second. A server that stops
 *   asks again after each reply; answering each at once is a loop of 20,000 a second that holds up its stop.
 * - Otherwise every third of `wal_sender_timeout` (at most 10 s), also while reading is paused.
 * - More than 10 requests in 2 s mean that the server is stopping and waits for us.
 */
export class StatusPacer {
  static readonly gapMs = 100
  static readonly floodCount = 10
  static readonly floodMs = 2_000

  readonly #periodMs: number
  #lastSentMs = Number.NEGATIVE_INFINITY
  #wanted = false
  #requests: number[] = []

  /** @param walSenderTimeoutMs the server's setting; 0 = no timeout. */
  constructor(walSenderTimeoutMs: number) {
    this.#periodMs =
      walSenderTimeoutMs > 0 ? Math.min(10_000, Math.max(StatusPacer.gapMs, walSenderTimeoutMs / 3)) : 10_000
  }

  /** A new position to report. */
  want(): void {
    this.#wanted = true
  }

  /** The server asked for a reply. Returns true when it asks as a stopping server does. */
  requested(nowMs: number): boolean {
    this.#wanted = true
    this.#requests.push(nowMs)
    while (nowMs - (this.#requests[0] as number) > StatusPacer.floodMs) this.#requests.shift()
    return this.#requests.length > StatusPacer.floodCount
  }

  /** Milliseconds until the next frame is due; 0 = now. */
  dueInMs(nowMs: number): number {
    const next = this.#lastSentMs + (this.#wanted ? StatusPacer.gapMs : this.#periodMs)
    return Math.max(0, next - nowMs)
  }

  sent(nowMs: number): void {
    this.#lastSentMs = nowMs
    this.#wanted = false
  }
}
