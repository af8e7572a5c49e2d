import { diagnose } from '../doctor/doctor.ts'
import { describeError } from '../doctor/postgres-connection.ts'
import type { RelaySettings, Route } from '../types.ts'
import { RateLimit } from './guards.ts'
import type { DoctorSection } from './state.ts'

/** Between two runs, milliseconds: each opens a dozen connections. */
const GAP_MS = 15_000
/** Of the slot's changes; the relay holds the slot, so mostly none can be looked into. */
const PEEK_MESSAGES = 100

/**
 * `factlib-relay doctor` for the page: one at a time, not more often than every 15 s, the last result kept.
 *
 * @example
 * const examination = new Examination(settings, routes)
 * if (examination.waitSeconds() === 0) await examination.run()
 */
export class Examination {
  readonly #settings: RelaySettings
  readonly #routes: readonly Route[]
  readonly #limit = new RateLimit(1, GAP_MS)
  #section: DoctorSection = { isRunning: false, ranAtMs: null, failure: null, findings: [] }

  constructor(settings: RelaySettings, routes: readonly Route[]) {
    this.#settings = settings
    this.#routes = routes
  }

  section(): DoctorSection {
    return this.#section
  }

  /** Until the next run is allowed; 0: now. */
  waitSeconds(): number {
    return this.#section.isRunning ? 1 : this.#limit.waitSeconds(performance.now())
  }

  /** Never rejects; `section()` tells. */
  async run(): Promise<void> {
    this.#limit.count(performance.now())
    this.#section = { ...this.#section, isRunning: true }
    const ran = { isRunning: false, ranAtMs: Date.now() }
    try {
      const findings = await diagnose(this.#settings, this.#routes, { topics: [], peekMessages: PEEK_MESSAGES })
      this.#section = {
        ...ran,
        failure: null,
        findings: findings.map(({ code, level, area, what, why, remedy }) => ({
          code,
          level,
          area,
          what,
          why: why ?? null,
          remedy: remedy ?? null,
        })),
      }
    } catch (error) {
      this.#section = { ...ran, failure: describeError(error), findings: [] }
    }
  }
}
