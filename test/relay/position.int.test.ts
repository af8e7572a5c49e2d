import pg from 'pg'
import { expect, it } from 'vitest'
import { decodePgoutput, type PgoutputEvents } from '../../relay/source/wal/pgoutput.ts'
import { createDatabase } from '../support/database.ts'
import { createSlot } from '../support/slot.ts'

it('PostgreSQL gives a non-transactional message the LSN of the commit right after it: the kind must be in the order', async () => {
  const database = await createDatabase()
  const slot = await createSlot(database)
  const client = await database.pool.connect()
  try {
    // Others may write between the two records; not twenty times.
    for (let turn = 0; turn < 20; turn++)
      await client.query(
        "BEGIN; SELECT pg_logical_emit_message(true, 'p', 'in'); SELECT pg_logical_emit_message(false, 'p', 'alone'); COMMIT",
      )
  } finally {
    client.release()
  }
  const rows = await database.query<{ data: Buffer }>(
    `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,
       'proto_version', '1', 'publication_names', $2, 'messages', 'true')`,
    [slot.name, pg.escapeIdentifier(slot.publication)],
  )
  const positions: string[] = []
  let finalLsn = 0n
  const events: PgoutputEvents = {
    onBegin: (lsn) => {
      finalLsn = lsn
    },
    onMessage: (transactional, lsn) => positions.push(transactional ? `${finalLsn} transaction` : `${lsn} message`),
    onCommit() {},
  }
  for (const { data } of rows) decodePgoutput(data, events)
  const touching = positions.filter(
    (position, index) =>
      position.endsWith('message') && positions[index + 1] === position.replace('message', 'transaction'),
  )
  expect(positions).toHaveLength(40)
  expect(touching.length).toBeGreaterThan(0)
})
