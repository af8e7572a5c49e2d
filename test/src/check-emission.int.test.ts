import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { checkEmission, type EmissionCheck } from '../../src/check-emission.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { startPostgres } from '../support/services/postgres.ts'
import { adoptSlot, createSlot } from '../support/slot.ts'

let database: TestDatabase
let other: TestDatabase

beforeAll(async () => {
  database = await createDatabase()
  other = await createDatabase()
})

const check = (options: Parameters<typeof checkEmission>[1] = {}) =>
  checkEmission((text) => database.query(text), options)
const codes = ({ problems }: EmissionCheck) => problems.map(({ code }) => code)

describe('checkEmission on a real database', () => {
  it('says that there is no slot, that the named ones are missing, or not of use', async () => {
    const elsewhere = await createSlot(other)
    expect(codes(await check())).toEqual(['NO_SLOT'])
    expect(codes(await check({ slot: 'nobody', publication: 'nothing' }))).toEqual([
      'SLOT_MISSING',
      'PUBLICATION_MISSING',
    ])
    expect(codes(await check({ slot: elsewhere.name }))).toEqual(['SLOT_OTHER_DATABASE'])
    const decoding = adoptSlot(database)
    await database.query("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", [decoding.name]).catch(() =>
      // Without contrib the plugin is missing: a physical slot is another of which no fact can be read.
      database.query('SELECT pg_create_physical_replication_slot($1)', [decoding.name]),
    )
    const unfit = await check({ slot: decoding.name })
    expect(codes(unfit)).toEqual(['SLOT_OTHER_PLUGIN'])
    expect(unfit.ok).toBe(false)
    expect(codes(await check())).toEqual(['NO_SLOT'])
    for (const { message, remedy } of unfit.problems)
      expect([message, remedy].every((text) => text.length > 20)).toBe(true)
  })

  it('finds nothing wrong with a slot of this database; that nobody reads it is a warning', async () => {
    const slot = await createSlot(database)
    for (const options of [{}, { slot: slot.name, publication: slot.publication }]) {
      const found = await check(options)
      expect(found).toMatchObject({ ok: true, problems: [] })
      expect(found.warnings.map(({ code }) => code)).toEqual(['SLOT_INACTIVE'])
    }
  })
})

describe('checkEmission on a server that is not set up', () => {
  it('says that wal_level would let facts get lost, in 14 too', async () => {
    const server = await startPostgres({ version: 14, settings: { wal_level: 'replica' }, name: 'replica' })
    onTestFinished(() => server.remove())
    const bare = await createDatabase({ postgresUrl: server.url })
    const found = await checkEmission((text) => bare.query(text))
    expect(codes(found)).toEqual(['WAL_LEVEL', 'NO_SLOT'])
    expect(found.problems[0]!.message).toContain('wal_level is replica')
  })
})
