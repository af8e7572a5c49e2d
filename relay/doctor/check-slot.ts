import pg from 'pg'
import { judgeSlot } from '../source/wal/guardian.ts'
import type { DoctorNames, Finding, PeekFacts, PostgresFacts, SlotFacts } from './facts.ts'

type Add = (finding: Omit<Finding, 'area'>) => void

/** Publication, slot, what is remembered of it, and what waits in it. */
export function checkSlot(facts: PostgresFacts, names: DoctorNames): Finding[] {
  const findings: Finding[] = []
  const add: Add = (finding) => findings.push({ area: 'slot', ...finding })
  const { server, slot } = facts
  if (!server || server.version < 140_000 || server.walLevel !== 'logical') return findings
  checkPublication(facts, names, add)
  if (!slot) checkMissingSlot(facts, names, add)
  else if (checkSlotKind(slot, names, add)) {
    add(
      slot.activePid === null
        ? {
            code: 'SLOT_INACTIVE',
            level: 'ok',
            what: `replication slot "${names.slot}" is there, and nobody reads it now`,
          }
        : {
            code: 'SLOT_ACTIVE',
            level: 'ok',
            what: `replication slot "${names.slot}" is read by pid ${slot.activePid}${slot.holder === null ? '' : ` (${slot.holder})`}`,
          },
    )
    // PostgreSQL lets one reader at a time look into a slot.
    if (slot.activePid !== null)
      add({
        code: 'SLOT_NOT_LOOKED_INTO',
        level: 'unknown',
        what: 'a relay reads the slot, so the facts that wait in it were not looked at: ask /readyz of the relay',
      })
    checkSlotState(facts, names, add)
  }
  checkMemory(facts, names, add)
  if (facts.peek) checkPeek(facts.peek, names, add)
  return findings
}

function checkPublication({ server, slot }: PostgresFacts, names: DoctorNames, add: Add): void {
  const name = pg.escapeIdentifier(names.publication)
  if (server?.published) {
    if (server.publishedTables > 0)
      add({
        code: 'PUBLICATION_HAS_TABLES',
        level: 'warning',
        what: `publication "${names.publication}" has ${server.publishedTables} tables`,
        why: 'Their rows are sent to the relay too, which throws them away: work and network for nothing.',
        remedy: `Give the relay a publication of its own (PUBLICATION_NAME), or: ALTER PUBLICATION ${name} DROP TABLE …`,
      })
    else add({ code: 'PUBLICATION', level: 'ok', what: `publication "${names.publication}" is there` })
    return
  }
  add(
    slot
      ? {
          code: 'PUBLICATION_MISSING',
          level: 'problem',
          what: `publication "${names.publication}" does not exist, but the slot does`,
          why: 'The relay ends with exit code 11. Decoding fails at the first change of a table; up to PostgreSQL 17 a slot that met one may be beyond repair.',
          remedy: `CREATE PUBLICATION ${name}; then start the relay`,
        }
      : {
          code: 'PUBLICATION_MISSING',
          level: 'warning',
          what: `publication "${names.publication}" does not exist yet`,
          why: 'The relay makes it at its first start, if its role may create in the database.',
          remedy: 'factlib-relay setup',
        },
  )
}

function checkMissingSlot({ server, memory, role }: PostgresFacts, names: DoctorNames, add: Add): void {
  if (memory?.remembered) {
    add({
      code: 'SLOT_GONE',
      level: 'problem',
      what: `replication slot "${names.slot}" was there and is gone`,
      why: 'Facts since its last confirmed position can no longer be read: they are missing in Kafka. The relay ends with exit code 10.',
      remedy: 'Recover the missed facts from the tables, then start once: factlib-relay run --accept-gap',
    })
    return
  }
  if (server && server.usedSlots >= server.maxSlots) {
    add({
      code: 'NO_FREE_SLOT',
      level: 'problem',
      what: `replication slot "${names.slot}" does not exist, and all ${server.maxSlots} slots are in use`,
      why: 'It cannot be created: emitted facts are lost, and the relay tries again for ever.',
      remedy: `ALTER SYSTEM SET max_replication_slots = ${server.maxSlots + 5}; then restart PostgreSQL. Or drop one that nobody needs: SELECT slot_name, active, database FROM pg_replication_slots`,
    })
    return
  }
  add({
    code: 'SLOT_MISSING',
    level: names.slotCreate === 'never' ? 'problem' : 'warning',
    what: `replication slot "${names.slot}" does not exist`,
    why:
      names.slotCreate === 'never'
        ? 'SLOT_CREATE=never: the relay ends with exit code 10, and facts that are emitted now are lost.'
        : 'Facts that are emitted before it exists are lost. The relay creates it at its first start.',
    remedy: 'factlib-relay setup',
  })
  if (!server?.published && role && !role.mayCreate)
    add({
      code: 'ROLE_CREATE',
      level: 'problem',
      what: `role "${names.role}" may not create the publication in database "${names.database}"`,
      why: 'The relay cannot set itself up, and tries again for ever.',
      remedy: `As an administrator: CREATE PUBLICATION ${pg.escapeIdentifier(names.publication)}; or ADMIN_DATABASE_URL=… factlib-relay setup`,
    })
}

/** Whether it is a slot that the relay can use at all. */
function checkSlotKind(slot: SlotFacts, names: DoctorNames, add: Add): boolean {
  const unfit = (code: string, what: string) => {
    add({
      code,
      level: 'problem',
      what: `replication slot "${names.slot}" ${what}`,
      why: 'The relay ends with exit code 11.',
      remedy:
        'Set REPLICATION_SLOT_NAME to a name of its own and run factlib-relay setup; or, if nothing uses this one, drop it: ' +
        `SELECT pg_drop_replication_slot(${pg.escapeLiteral(names.slot)})`,
    })
    return false
  }
  if (slot.slotType !== 'logical') return unfit('SLOT_PHYSICAL', 'is a physical one')
  if (slot.plugin !== 'pgoutput') return unfit('SLOT_OTHER_PLUGIN', `has the plugin "${slot.plugin}", not "pgoutput"`)
  if (slot.database !== names.database)
    return unfit('SLOT_OTHER_DATABASE', `belongs to database "${slot.database}", and we read "${names.database}"`)
  if (slot.temporary) return unfit('SLOT_TEMPORARY', 'is temporary: it ends with its connection')
  if (slot.twoPhase) return unfit('SLOT_TWO_PHASE', 'was made with two_phase')
  if (slot.walStatus === 'lost' || slot.invalidation !== null) {
    add({
      code: 'SLOT_LOST',
      level: 'problem',
      what: `replication slot "${names.slot}" is lost (${slot.invalidation ?? 'PostgreSQL removed WAL that it needed'})`,
      why: 'Facts since its confirmed position can no longer be read: they are missing in Kafka. The relay ends with exit code 10.',
      remedy:
        `Recover the missed facts from the tables; SELECT pg_drop_replication_slot(${pg.escapeLiteral(names.slot)}); start once with --accept-gap; ` +
        'and raise max_slot_wal_keep_size',
    })
    return false
  }
  return true
}

const GUARDIAN_WHY: Readonly<Record<string, readonly [why: string, remedy: string]>> = {
  SLOT_UNRESERVED: [
    'At the next checkpoint the slot may be lost, and facts with it.',
    "Now: ALTER SYSTEM SET max_slot_wal_keep_size = '-1'; SELECT pg_reload_conf(); then make the relay advance",
  ],
  OLD_TRANSACTION: [
    'It may fill the disk, or use up the WAL budget of the slot.',
    'SELECT pid, usename, application_name, state, xact_start, left(query, 60) FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start; then SELECT pg_terminate_backend(<pid>)',
  ],
  NO_FAILOVER: [
    'After a failover the facts that were not yet read are missing in Kafka.',
    'PostgreSQL 17+: SLOT_FAILOVER=true when the slot is made; sync_replication_slots = on at the standby',
  ],
}

/** What the guardian would say while the relay runs, before it does. */
function checkSlotState({ inspection, slot, server }: PostgresFacts, names: DoctorNames, add: Add): void {
  if (!inspection) return
  for (const { code, message, halt } of judgeSlot(names, inspection)) {
    const words = GUARDIAN_WHY[code]
    // The others have been said with more words.
    if (words) add({ code, level: halt ? 'problem' : 'warning', what: message, why: words[0], remedy: words[1] })
  }
  const left = slot?.safeWalBytes ?? null
  if (left !== null && server?.maxSlotWalKeepBytes !== undefined) {
    const share = left / server.maxSlotWalKeepBytes
    const budget = `${Math.max(0, Math.round(left / 1_048_576))} of ${Math.round(server.maxSlotWalKeepBytes / 1_048_576)} MiB`
    if (share < 0.25)
      add({
        code: 'WAL_BUDGET_LOW',
        level: 'warning',
        what: `the slot's WAL budget is nearly used up: ${budget} are left`,
        why: 'When it is used up PostgreSQL gives up the slot, and facts with it.',
        remedy:
          "Make the relay advance (is Kafka there?), or: ALTER SYSTEM SET max_slot_wal_keep_size = '…'; SELECT pg_reload_conf()",
      })
    else add({ code: 'WAL_BUDGET', level: 'ok', what: `of the slot's WAL budget ${budget} are left` })
  }
}

function checkMemory({ memory, role }: PostgresFacts, names: DoctorNames, add: Add): void {
  if (!memory) return
  if (memory.gap !== undefined)
    add({
      code: 'SLOT_GAP',
      level: names.acceptGap ? 'warning' : 'problem',
      what: `replication slot "${names.slot}" does not continue where the relay left it: ${memory.gap}`,
      why: 'Facts between may be missing in Kafka. The relay ends with exit code 10.',
      remedy: 'Recover them from the tables, then start once: factlib-relay run --accept-gap',
    })
  if (memory.exists ? memory.mayUse : role?.mayCreate) {
    add({ code: 'MEMORY', level: 'ok', what: "the relay can keep its memory of the slot's position" })
    return
  }
  add({
    code: 'MEMORY_RIGHTS',
    level: 'warning',
    what: memory.exists
      ? `role "${names.role}" may not use the table factlib.relay_slots`
      : `role "${names.role}" may not make the table factlib.relay_slots`,
    why: 'A slot that somebody else moved, dropped or made again goes unnoticed, and facts with it.',
    remedy: memory.exists
      ? `GRANT USAGE ON SCHEMA factlib TO ${pg.escapeIdentifier(names.role)}; GRANT SELECT, INSERT, UPDATE ON factlib.relay_slots TO ${pg.escapeIdentifier(names.role)}`
      : 'ADMIN_DATABASE_URL=… factlib-relay setup',
  })
}

function checkPeek(peek: PeekFacts, names: DoctorNames, add: Add): void {
  if (peek.failure !== undefined) {
    add({
      code: 'SLOT_UNREADABLE',
      level: 'problem',
      what: `replication slot "${names.slot}" cannot be read: ${peek.failure}`,
      why: 'The relay meets the same error, and tries again for ever.',
      remedy:
        'If the publication was missing while a table changed, the slot is beyond repair (up to PostgreSQL 17): recover from the tables, factlib-relay teardown, factlib-relay setup.',
    })
    return
  }
  if (peek.malformed.length > 0)
    add({
      code: 'MALFORMED_FACT',
      level: names.keepsMalformed ? 'warning' : 'problem',
      what: `a message with our prefix waits in the slot and is not a fact: ${peek.malformed[0]}`,
      why: names.keepsMalformed
        ? 'The relay keeps it in the dead-letter topic and goes on.'
        : 'The relay ends with exit code 13 when it comes to it.',
      remedy: names.keepsMalformed
        ? 'Find its emitter.'
        : 'Find its emitter. Set DEAD_LETTER_TOPIC to keep such messages aside and go on.',
    })
}
