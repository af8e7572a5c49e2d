import { withinLimit } from '../deferred.ts'
import { backoffMs } from '../policy.ts'
import type { RelayLogger } from '../types.ts'
import type { Sink } from './sink.ts'

/** How often Kafka is asked whether it is there, milliseconds. */
const CHECK_MS = 5_000
/**
 * A client repeats what fails by itself, longer than whoever asks for our health will wait. With the pause before it this
 * stays under the 15 s within which an idle relay must say that Kafka is away.
 */
const ANSWER_MS = 5_000

/** Looks whether Kafka is there, now and then: an idle relay whose Kafka is away must not say that it is well. */
export class SinkWatch {
  readonly #sink: Pick<Sink, 'name' | 'check'>
  readonly #logger: RelayLogger
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #attempt = 0
  #trouble: string | undefined = 'not connected to Kafka yet'

  constructor(sink: Pick<Sink, 'name' | 'check'>, logger: RelayLogger) {
    this.#sink = sink
    this.#logger = logger
  }

  /** Why Kafka takes nothing; undefined: it answers. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  start(): void {
    void this.#look()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  async #look(): Promise<void> {
    const problem = await this.#ask()
    if (this.#stopped) return
    const { name } = this.#sink
    if (problem === undefined) {
      if (this.#trouble !== undefined) this.#logger.info({ sink: name }, 'connected to Kafka')
      this.#attempt = 0
    } else {
      this.#attempt++
      if (this.#trouble === undefined || this.#attempt === 1) this.#logger.warn({ sink: name }, problem)
    }
    this.#trouble = problem
    const waitMs = this.#attempt === 0 ? CHECK_MS : backoffMs(this.#attempt, 200, CHECK_MS)
    this.#timer = setTimeout(() => void this.#look(), waitMs).unref()
  }

  /** Undefined: it answered. */
  async #ask(): Promise<string | undefined> {
    let answer: string | undefined = `Kafka does not answer within ${ANSWER_MS / 1_000} s`
    const asked = this.#sink.check().then(
      () => {
        answer = undefined
      },
      (error: unknown) => {
        answer = (error as Error).message
      },
    )
    await withinLimit(asked, ANSWER_MS)
    return answer
  }
}
