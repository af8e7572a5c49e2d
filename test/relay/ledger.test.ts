import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Ledger, type LedgerUnit, LedgerViolation } from '../../relay/ledger.ts'
import { toLsn, ZERO_LSN } from '../../relay/lsn.ts'

const lsn = (value: number | bigint) => toLsn(BigInt(value))

function transaction(ledger: Ledger, facts: number, endLsn: number): LedgerUnit | undefined {
  ledger.begin()
  let unit: LedgerUnit | undefined
  for (let i = 0; i < facts; i++) unit = ledger.add()
  ledger.commit(lsn(endLsn))
  return unit
}

describe('Ledger', () => {
  it("confirms nothing before the slot's own position", () => {
    expect(new Ledger(lsn(500)).confirmableLsn).toBe(500n)
  })

  it("confirms a transaction's end exactly, once its last fact is durable", () => {
    const ledger = new Ledger(ZERO_LSN)
    const unit = transaction(ledger, 2, 100)!
    expect(ledger.settle(unit, 1)).toBe(false)
    expect(ledger.confirmableLsn).toBe(0n)
    expect(ledger.settle(unit, 1)).toBe(true)
    expect(ledger.confirmableLsn).toBe(100n)
  })

  it('keeps adjacent commits apart: one byte is a transaction', () => {
    const ledger = new Ledger(ZERO_LSN)
    const first = transaction(ledger, 1, 100)!
    const second = transaction(ledger, 1, 101)!
    ledger.settle(first, 1)
    expect(ledger.confirmableLsn).toBe(100n)
    ledger.settle(second, 1)
    expect(ledger.confirmableLsn).toBe(101n)
  })

  it('never confirms inside a transaction, also when all that came of it is durable', () => {
    const ledger = new Ledger(lsn(10))
    ledger.begin()
    const unit = ledger.add()
    expect(ledger.settle(unit, 1)).toBe(false)
    expect(ledger.confirmableLsn).toBe(10n)
    expect(ledger.isOpen).toBe(true)
    ledger.settle(ledger.add(), 1)
    expect(ledger.confirmableLsn).toBe(10n)
    ledger.commit(lsn(100))
    expect(ledger.confirmableLsn).toBe(100n)
  })

  it('does not jump over a unit that waits', () => {
    const ledger = new Ledger(ZERO_LSN)
    const failed = transaction(ledger, 1, 100)!
    const done = transaction(ledger, 1, 200)!
    expect(ledger.settle(done, 1)).toBe(false)
    expect(ledger.confirmableLsn).toBe(0n)
    expect(ledger.settle(failed, 1)).toBe(true)
    expect(ledger.confirmableLsn).toBe(200n)
  })

  it('folds units without facts into what is before them', () => {
    const ledger = new Ledger(ZERO_LSN)
    transaction(ledger, 0, 50)
    expect(ledger.confirmableLsn).toBe(50n)
    const unit = transaction(ledger, 1, 100)!
    transaction(ledger, 0, 200)
    ledger.skipAlone(lsn(300))
    expect(ledger.confirmableLsn).toBe(50n)
    ledger.settle(unit, 1)
    expect(ledger.confirmableLsn).toBe(300n)
  })

  it('does not fold an empty unit into a transaction that is open', () => {
    const ledger = new Ledger(ZERO_LSN)
    ledger.begin()
    ledger.skipAlone(lsn(50))
    expect(ledger.confirmableLsn).toBe(0n)
    ledger.settle(ledger.add(), 1)
    expect(ledger.confirmableLsn).toBe(0n)
  })

  it('takes a non-transactional message as a unit that ends at its own position', () => {
    const ledger = new Ledger(ZERO_LSN)
    const alone = ledger.addAlone(lsn(70))
    expect(ledger.isIdle).toBe(false)
    ledger.settle(alone, 1)
    expect(ledger.confirmableLsn).toBe(70n)
  })

  it('takes a keepalive only when nothing is open and nothing waits', () => {
    const ledger = new Ledger(lsn(10))
    expect(ledger.keepalive(lsn(5))).toBe(false)
    expect(ledger.keepalive(lsn(20))).toBe(true)
    expect(ledger.confirmableLsn).toBe(20n)
    ledger.begin()
    expect(ledger.keepalive(lsn(30))).toBe(false)
    const unit = ledger.add()
    ledger.commit(lsn(40))
    expect(ledger.keepalive(lsn(50))).toBe(false)
    expect(ledger.confirmableLsn).toBe(20n)
    ledger.settle(unit, 1)
    expect(ledger.confirmableLsn).toBe(40n)
    expect(ledger.keepalive(lsn(50))).toBe(true)
    expect(ledger.confirmableLsn).toBe(50n)
  })

  it("moves nothing for a unit of another connection's ledger", () => {
    const old = new Ledger(ZERO_LSN)
    const lost = transaction(old, 1, 100)!
    const ledger = new Ledger(ZERO_LSN)
    const again = transaction(ledger, 1, 100)!
    expect(ledger.settle(lost, 1)).toBe(false)
    expect(ledger.confirmableLsn).toBe(0n)
    expect(ledger.pendingFacts).toBe(1)
    ledger.settle(again, 1)
    expect(ledger.confirmableLsn).toBe(100n)
  })

  it.each<[string, (ledger: Ledger) => void]>([
    ['Begin inside a transaction', (ledger) => [ledger.begin(), ledger.begin()]],
    ['Commit without Begin', (ledger) => ledger.commit(lsn(100))],
    ['a transactional message outside a transaction', (ledger) => ledger.add()],
    ['a non-transactional fact inside one', (ledger) => [ledger.begin(), ledger.addAlone(lsn(100))]],
    ['an end that does not move', (ledger) => [transaction(ledger, 1, 100), transaction(ledger, 1, 100)]],
    ['an end that goes back', (ledger) => [transaction(ledger, 0, 100), transaction(ledger, 0, 99)]],
    ['an end at the start position', (ledger) => transaction(ledger, 1, 10)],
    ['more settled than waited', (ledger) => ledger.settle(transaction(ledger, 1, 100)!, 2)],
  ])('refuses %s', (_, violate) => {
    expect(() => violate(new Ledger(lsn(10)))).toThrow(LedgerViolation)
  })

  it('holds what the model holds, whatever comes in whatever order', () => {
    // The model keeps every unit for ever and looks through all of them; the ledger may do neither.
    interface Modelled {
      readonly endLsn: number
      readonly unit: LedgerUnit | undefined
      pending: number
    }
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant('transaction' as const),
          facts: fc.nat(4),
          gap: fc.integer({ min: 1, max: 3 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant('half' as const),
          facts: fc.nat(3),
          settle: fc.boolean(),
          gap: fc.integer({ min: 1, max: 3 }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant('alone' as const),
          ours: fc.boolean(),
          gap: fc.integer({ min: 1, max: 3 }),
        }),
      },
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('settle' as const), which: fc.nat(100) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('keepalive' as const), ahead: fc.nat(3) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('stray' as const) }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const ledger = new Ledger(lsn(1_000))
        const strange = transaction(new Ledger(ZERO_LSN), 1, 9)!
        const units: Modelled[] = []
        let at = 1_000
        let idleAt = 1_000
        const check = () => {
          const firstWaiting = units.findIndex((unit) => unit.pending > 0)
          const done = firstWaiting === -1 ? units : units.slice(0, firstWaiting)
          const expected = Math.max(idleAt, done.at(-1)?.endLsn ?? 0)
          expect(Number(ledger.confirmableLsn)).toBe(expected)
          expect(ledger.pendingFacts).toBe(units.reduce((sum, unit) => sum + unit.pending, 0))
        }
        for (const one of steps) {
          if (one.kind === 'transaction') {
            at += one.gap
            units.push({ endLsn: at, unit: transaction(ledger, one.facts, at), pending: one.facts })
          } else if (one.kind === 'half') {
            // Some of it durable before its Commit comes; nothing of it may show until then.
            const before = ledger.confirmableLsn
            ledger.begin()
            let unit: LedgerUnit | undefined
            for (let i = 0; i < one.facts; i++) unit = ledger.add()
            if (unit && one.settle) ledger.settle(unit, one.facts)
            ledger.keepalive(lsn(at + 1_000_000))
            expect(ledger.confirmableLsn).toBe(before)
            at += one.gap
            ledger.commit(lsn(at))
            units.push({ endLsn: at, unit, pending: one.settle ? 0 : one.facts })
          } else if (one.kind === 'alone') {
            at += one.gap
            const unit = one.ours ? ledger.addAlone(lsn(at)) : undefined
            if (!one.ours) ledger.skipAlone(lsn(at))
            units.push({ endLsn: at, unit, pending: one.ours ? 1 : 0 })
          } else if (one.kind === 'settle') {
            const waiting = units.filter((unit) => unit.pending > 0)
            const chosen = waiting[one.which % Math.max(1, waiting.length)]
            if (chosen?.unit) {
              chosen.pending--
              ledger.settle(chosen.unit, 1)
            }
          } else if (one.kind === 'keepalive') {
            const walEnd = at + one.ahead
            const idle = units.every((unit) => unit.pending === 0)
            ledger.keepalive(lsn(walEnd))
            if (idle) {
              idleAt = Math.max(idleAt, walEnd)
              at = Math.max(at, walEnd)
            }
          } else {
            expect(ledger.settle(strange, 1)).toBe(false)
          }
          check()
        }
      }),
      { numRuns: 400 },
    )
  })

  it('forgets what is done: a million units in a row keep no more than a few', () => {
    const ledger = new Ledger(ZERO_LSN)
    const before = heapBytes()
    for (let i = 1; i <= 1_000_000; i++) ledger.settle(transaction(ledger, 1, i)!, 1)
    expect(heapBytes() - before).toBeLessThan(1_000_000)
    expect(ledger.confirmableLsn).toBe(1_000_000n)
    expect(ledger.isIdle).toBe(true)
  })

  it('forgets what is done also while there is always something that waits', () => {
    const ledger = new Ledger(ZERO_LSN)
    const before = heapBytes()
    let waiting = transaction(ledger, 1, 1)!
    for (let i = 2; i <= 500_000; i++) {
      const next = transaction(ledger, 1, i)!
      ledger.settle(waiting, 1)
      waiting = next
    }
    expect(heapBytes() - before).toBeLessThan(1_000_000)
    expect(ledger.confirmableLsn).toBe(499_999n)
  })

  it('keeps no object for a unit without facts while one waits', () => {
    const ledger = new Ledger(ZERO_LSN)
    const unit = transaction(ledger, 1, 1)!
    const before = heapBytes()
    for (let i = 2; i <= 500_000; i++) transaction(ledger, 0, i)
    expect(heapBytes() - before).toBeLessThan(1_000_000)
    ledger.settle(unit, 1)
    expect(ledger.confirmableLsn).toBe(500_000n)
  })
})

/** What is held, without what is only not collected yet. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}
