import { describe, expect, it } from 'vitest'
import { type EmissionCheck, judgeEmission, type SlotState } from '../../src/check-emission.ts'

// States of servers that no test would bring about; those that one can are in check-emission.int.test.ts.

const codes = ({ problems }: EmissionCheck) => problems.map(({ code }) => code)

describe('judgeEmission', () => {
  const server = { wal_level: 'logical', version: '180004', in_recovery: 'false', database: 'shop' }
  const slot = {
    slot_name: 's',
    plugin: 'pgoutput',
    database: 'shop',
    wal_status: 'reserved',
    active: 'true',
    temporary: 'false',
  }
  it.each<[string, object, object[], string[], string[]]>([
    ['a good server', {}, [slot], [], []],
    ['wal_level replica', { wal_level: 'replica' }, [slot], ['WAL_LEVEL'], []],
    ['a standby', { in_recovery: 'true' }, [slot], ['SERVER_IN_RECOVERY'], []],
    ['PostgreSQL 13', { version: '130010' }, [slot], ['SERVER_TOO_OLD'], []],
    ['PostgreSQL 12, whose slots have no wal_status', { version: '120010' }, [slot], ['SERVER_TOO_OLD'], []],
    ['a lost slot', {}, [{ ...slot, wal_status: 'lost' }], ['SLOT_LOST'], []],
    ['a temporary slot', {}, [{ ...slot, temporary: 'true' }], ['SLOT_TEMPORARY'], []],
    ['a slot about to be lost', {}, [{ ...slot, wal_status: 'unreserved' }], [], ['SLOT_UNRESERVED']],
    ['no slot', {}, [], ['SLOT_MISSING'], []],
  ])('%s', (_, state, slots, problems, warnings) => {
    const found = judgeEmission({ ...server, ...state }, slots as SlotState[], [], { slot: 's' })
    expect(codes(found)).toEqual(problems)
    expect(found.warnings.map(({ code }) => code)).toEqual(warnings)
    expect(found.ok).toBe(problems.length === 0)
  })

  it('the remedy for a missing slot makes the one that was asked for', () => {
    const found = judgeEmission(server, [], [], { slot: 'shop_facts' })
    expect(found.problems[0]?.remedy).toMatch(/^npx factlib-relay setup makes it/)
    expect(found.problems[0]?.remedy).toContain("pg_create_logical_replication_slot('shop_facts', 'pgoutput')")
    const [unnamed] = judgeEmission(server, [], [], {}).problems
    expect(unnamed?.remedy).toContain("pg_create_logical_replication_slot('factlib_slot', 'pgoutput')")
  })

  it('names what is wrong with the only slots that there are', () => {
    const found = judgeEmission(server, [{ ...slot, wal_status: 'lost' }], [], {})
    expect(codes(found)).toEqual(['SLOT_LOST'])
  })
})
