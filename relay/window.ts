/**
 * How much was received and is not yet durable, in facts and bytes. Above either limit reading pauses; it resumes below
 * half of both, so that the socket is not switched for every fact. Memory follows from it (invariant 6).
 */
export class Window {
  readonly #limits: { readonly facts: number; readonly bytes: number }
  readonly #listener: { pause(): void; resume(): void }
  #facts = 0
  #bytes = 0
  #full = false

  constructor(limits: { readonly facts: number; readonly bytes: number }, listener: { pause(): void; resume(): void }) {
    this.#limits = limits
    this.#listener = listener
  }

  get facts(): number {
    return this.#facts
  }

  get bytes(): number {
    return this.#bytes
  }

  get isFull(): boolean {
    return this.#full
  }

  add(bytes: number): void {
    this.#facts++
    this.#bytes += bytes
    if (!this.#full && (this.#facts >= this.#limits.facts || this.#bytes >= this.#limits.bytes)) {
      this.#full = true
      this.#listener.pause()
    }
  }

  remove(facts: number, bytes: number): void {
    this.#facts -= facts
    this.#bytes -= bytes
    if (this.#full && this.#facts * 2 <= this.#limits.facts && this.#bytes * 2 <= this.#limits.bytes) {
      this.#full = false
      this.#listener.resume()
    }
  }
}
