/** So many looks are remembered: at one in two seconds, an hour. */
const LOOKS_KEPT = 1_800
/** WAL that a server writes by itself while nothing happens (a checkpoint's record, say), bytes. */
const IDLE_BYTES = 1_024

/**
 * Tells how old a position in the WAL is, from looks at where its end was and when. Pure: positions are bytes since 0/0,
 * times are milliseconds.
 *
 * @example
 * const clock = new WalClock()
 * clock.look(0, 5_000)
 * clock.look(2_000, 90_000)
 * clock.ageOf(50_000, 2_000) // { seconds: 0.9, isAtLeast: false }: the end of the WAL passed it 0.9 s ago
 */
export class WalClock {
  readonly #looks: { readonly atMs: number; readonly walBytes: number }[] = []

  look(atMs: number, walBytes: number): void {
    const last = this.#looks.at(-1)
    // A failover to a server that is behind: what was seen before says nothing any more.
    if (last && walBytes < last.walBytes) this.#looks.length = 0
    this.#looks.push({ atMs, walBytes })
    if (this.#looks.length > LOOKS_KEPT) this.#looks.shift()
  }

  /** Undefined before the first look. `isAtLeast`: the position is older than every look. */
  ageOf(position: number, nowMs: number): { readonly seconds: number; readonly isAtLeast: boolean } | undefined {
    const [first] = this.#looks
    const last = this.#looks.at(-1)
    if (!first || !last) return undefined
    if (position + IDLE_BYTES >= last.walBytes) return { seconds: 0, isAtLeast: false }
    if (position < first.walBytes) return { seconds: (nowMs - first.atMs) / 1_000, isAtLeast: true }
    const after = this.#looks.findIndex(({ walBytes }) => walBytes > position)
    const [a, b] = [this.#looks[after - 1] as typeof first, this.#looks[after] as typeof first]
    const share = (position - a.walBytes) / (b.walBytes - a.walBytes)
    return { seconds: Math.max(0, nowMs - (a.atMs + share * (b.atMs - a.atMs))) / 1_000, isAtLeast: false }
  }
}
