import { describe, expect, it } from 'vitest'
import { microsNow } from '../../src/micros.ts'

describe('microsNow', () => {
  it('stays in the millisecond of the system clock, whatever the two clocks do', () => {
    // [system clock in ms, monotonic clock in ms]: started apart, slewed, stepped forward by an hour, then back by two.
    const steps: [number, number][] = []
    let system = 1_795_000_000_000.4
    let monotonic = 12.3
    for (let i = 0; i < 4_000; i++) {
      if (i === 1_000) system += 3_600_000
      if (i === 2_000) system -= 7_200_000
      system += i > 3_000 ? 0.37 : 0.35
      monotonic += 0.36
      steps.push([system, monotonic])
    }
    for (const [at, mono] of steps) {
      const micros = microsNow(Math.floor(at), mono)
      expect(micros / 1000n).toBe(BigInt(Math.floor(at)))
    }
  })

  it('learns where a millisecond begins: within 50 µs after a few hundred calls', () => {
    const offset = 1_795_000_500_000.123
    let worst = 0
    for (let i = 0; i < 2_000; i++) {
      const mono = 1_000 + i * 0.317
      const micros = microsNow(Math.floor(offset + mono), mono)
      if (i > 1_000) worst = Math.max(worst, Math.abs(Number(micros) - (offset + mono) * 1000))
    }
    expect(worst).toBeLessThan(50)
  })

  it('does not go back while the clocks agree', () => {
    let last = 0n
    for (let i = 0; i < 10_000; i++) {
      const mono = 5_000_000 + i * 0.01
      const micros = microsNow(Math.floor(1_795_001_000_000 + mono), mono)
      expect(micros).toBeGreaterThanOrEqual(last)
      last = micros
    }
  })
})
