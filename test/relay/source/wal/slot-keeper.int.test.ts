import { expect, it } from 'vitest'
import { type Lsn, toLsn } from '../../../../relay/lsn.ts'
import { silentLogger } from '../../../../relay/observer.ts'
import { SlotKeeper } from '../../../../relay/source/wal/slot-keeper.ts'
import { SLOT_MEMORY_DDL } from '../../../../relay/source/wal/slot-memory.ts'
import { registerCleanup } from '../../../support/cleanup.ts'
import { createDatabase } from '../../../support/database.ts'
import { createSlot } from '../../../support/slot.ts'

it('confirms also where the memory of the slot can be read and not written, as on a standby that has it from its primary', async () => {
  const database = await createDatabase()
  const slot = await createSlot(database)
  for (const statement of SLOT_MEMORY_DDL) await database.query(statement)
  await database.query(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'cannot execute INSERT in a read-only transaction' USING ERRCODE = '25006'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON factlib.relay_slots EXECUTE FUNCTION refuse()`)
  let released!: (lsn: Lsn) => void
  const whenReleased = new Promise<Lsn>((resolve) => (released = resolve))
  const keeper = new SlotKeeper({
    target: { connectionString: database.url },
    slot: slot.name,
    publication: slot.publication,
    heartbeatMs: 0,
    logger: silentLogger,
    release: released,
    onServerStopping: () => {},
    onHalt: () => {},
  })
  registerCleanup(() => keeper.close())
  expect(await keeper.recall()).toBeUndefined()
  keeper.adopt({
    systemId: 1n,
    timeline: 1,
    startLsn: toLsn(100n),
    walEndLsn: toLsn(100n),
    remembered: undefined,
    acceptedGap: false,
    walSenderTimeoutMs: 60_000,
  })
  // Behind the refusal: one question is asked after another.
  await keeper.holderPid()
  keeper.confirm(toLsn(200n), true)
  expect(await whenReleased).toBe(200n)
})
