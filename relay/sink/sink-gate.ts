import { backoffMs } from '../policy.ts'
import type { Sink, SinkRecord } from './sink.ts'

/**
 * The one door to a sink's producer. Sends pass freely; while the producer is being renewed they wait, because a new
 * producer must not write beside requests of the old one.
 */
export class SinkGate {
  readonly #sink: Sink
  readonly #settleLimitMs: number
  readonly #delay: (ms: number) => Promise<void>
  #open = 0
  #renewing: Promise<void> | undefined
  #whenSettled: (() => void) | undefined
  #closed = false
  renewals = 0

  /** @param options.delay resolves after `ms`, or at once when the relay stops. */
  constructor(sink: Sink, options: { readonly delay: (ms: number) => Promise<void>; readonly settleLimitMs?: number }) {
    this.#sink = sink
    this.#delay = options.delay
    this.#settleLimitMs = options.settleLimitMs ?? 10_000
  }

  /** Resolves when the renewal under way is over; undefined: none is, and a send passes at once. */
  get renewing(): Promise<void> | undefined {
    return this.#renewing
  }

  async send(
    topic: string,
    partition: number,
    records: readonly SinkRecord[],
    mayLeave?: () => boolean,
  ): Promise<void> {
    while (this.#renewing) await this.#renewing
    this.#open++
    try {
      await this.#sink.send(topic, partition, records, mayLeave)
    } finally {
      this.#open--
      if (this.#open === 0) this.#whenSettled?.()
    }
  }

  /** Asks for a new producer. Asked twice at once it happens once. Never rejects: it goes on until brokers answer. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  close(): void {
    this.#closed = true
  }

  async #renew(): Promise<void> {
    this.renewals++
    if (this.#open > 0) {
      const settled = new Promise<void>((resolve) => {
        this.#whenSettled = resolve
      })
      await Promise.race([settled, this.#delay(this.#settleLimitMs)])
      this.#whenSettled = undefined
    }
    for (let attempt = 1; !this.#closed; attempt++) {
      try {
        await this.#sink.renew()
        return
      } catch {
        await this.#delay(backoffMs(attempt))
      }
    }
  }
}
