import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { setup } from '../../../relay/cli/setup.ts'
import { teardown } from '../../../relay/cli/teardown.ts'
import { parseRelayOptions } from '../../../relay/config/settings.ts'
import { PROVIDER, PROVIDERS } from '../../../relay/setup/providers.ts'
import type { RelaySettings } from '../../../relay/types.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { adoptSlot, type TestSlot } from '../../support/slot.ts'
import { waitFor } from '../../support/wait.ts'
import { captureTerminal } from './captured-terminal.ts'

// `setup` and `teardown` on a real server: what they make, that a second time changes nothing, and what they refuse.

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase()
})

function urlOf(user: string, password: string, name = database.name): string {
  const url = new URL(inject('postgresUrl'))
  Object.assign(url, { username: user, password, pathname: `/${name}` })
  return url.href
}

function settingsFor(slot: TestSlot, databaseUrl = database.url): RelaySettings {
  return parseRelayOptions(
    { prefix: 'shop', databaseUrl, slotName: slot.name, publicationName: slot.publication },
    { env: {} },
  )
}

/** A role with a password and nothing else, dropped at the end. */
async function createRole(rights = ''): Promise<{ name: string; url: string; password: string }> {
  const name = `role_${randomBytes(5).toString('hex')}`
  const password = randomBytes(8).toString('hex')
  await database.query(`CREATE ROLE ${name} LOGIN PASSWORD '${password}' ${rights}`)
  dropRoleAtEnd(name)
  return { name, url: urlOf(name, password), password }
}

function dropRoleAtEnd(name: string): void {
  registerCleanup(async () => {
    await database.query(`DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${name}') THEN
      DROP OWNED BY ${name}; DROP ROLE ${name}; END IF; END $$`)
  })
}

describe('setup', () => {
  it('makes what is missing, and finds all of it there the second time', async () => {
    const slot = adoptSlot(database)
    const first = captureTerminal()
    expect(await setup(settingsFor(slot), { json: true }, first)).toBe(0)
    const { steps } = first.json<{ steps: { what: string; outcome: string }[] }>()
    expect(steps.filter(({ outcome }) => outcome === 'done').map(({ what }) => what)).toEqual(
      expect.arrayContaining([`publication "${slot.publication}" (without tables)`, `replication slot "${slot.name}"`]),
    )
    expect(await slot.confirmedFlushLsn()).toBeGreaterThan(0n)
    const before = await slot.confirmedFlushLsn()

    const second = captureTerminal()
    expect(await setup(settingsFor(slot), {}, second)).toBe(0)
    expect(second.output).toContain('Nothing to do')
    expect(second.output).toContain(`replication slot "${slot.name}": was there`)
    expect(await slot.confirmedFlushLsn()).toBe(before)
  })

  it('makes the role with its rights and password as an administrator; the role can then log in, replicate and remember', async () => {
    const slot = adoptSlot(database)
    const role = `relay_${randomBytes(5).toString('hex')}`
    dropRoleAtEnd(role)
    const settings = settingsFor(slot, urlOf(role, 'pass word/1'))
    const terminal = captureTerminal()
    expect(await setup(settings, { adminUrl: inject('postgresUrl') }, terminal)).toBe(0)
    expect(terminal.output).not.toContain('pass word')
    const client = new pg.Client({
      connectionString: urlOf(role, 'pass word/1'),
      ...({ replication: 'database' } as object),
    })
    await client.connect()
    try {
      expect((await client.query('IDENTIFY_SYSTEM')).rows).toHaveLength(1)
      await client.query(
        "INSERT INTO factlib.relay_slots (slot, system_id, timeline, confirmed_lsn) VALUES ('x', 1, 1, '0/1')",
      )
    } finally {
      await client.query("DELETE FROM factlib.relay_slots WHERE slot = 'x'")
      await client.end()
    }
    const again = captureTerminal()
    expect(await setup(settings, { adminUrl: inject('postgresUrl') }, again)).toBe(0)
    expect(again.output).toContain('Nothing to do')
  })

  it('changes nothing without the right to replicate, and says what an administrator must run', async () => {
    const slot = adoptSlot(database)
    const role = await createRole()
    const terminal = captureTerminal()
    expect(await setup(settingsFor(slot, role.url), {}, terminal)).toBe(1)
    expect(terminal.notes).toContain('Nothing was changed')
    expect(terminal.notes).toContain(`ALTER ROLE "${role.name}" WITH REPLICATION;`)
    expect(await database.query('SELECT FROM pg_publication WHERE pubname = $1', [slot.publication])).toEqual([])
  })

  it('refuses a slot of another plugin, and one that was there and is gone', async () => {
    const other = adoptSlot(database)
    await database.query("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", [other.name])
    const terminal = captureTerminal()
    expect(await setup(settingsFor(other), { json: true }, terminal)).toBe(1)
    expect(terminal.json()['obstacles']).toEqual([expect.stringContaining('its plugin is "test_decoding"')])

    const gone = adoptSlot(database)
    expect(await setup(settingsFor(gone), {}, captureTerminal())).toBe(0)
    await database.query(
      "INSERT INTO factlib.relay_slots (slot, system_id, timeline, confirmed_lsn) VALUES ($1, 1, 1, '0/1')",
      [gone.name],
    )
    await database.query('SELECT pg_drop_replication_slot($1)', [gone.name])
    const second = captureTerminal()
    expect(await setup(settingsFor(gone), {}, second)).toBe(1)
    expect(second.notes).toMatch(/was there and is gone.*--accept-gap/s)
    expect(await database.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', [gone.name])).toEqual([])
  })

  it('prints with --dry-run what it would run, and that SQL alone makes a slot that can be used', async () => {
    const slot = adoptSlot(database)
    const terminal = captureTerminal()
    expect(await setup(settingsFor(slot), { dryRun: true }, terminal)).toBe(0)
    expect(await database.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', [slot.name])).toEqual([])
    const statements = terminal.output
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('--'))
      .join('\n')
      .split(';\n')
    for (const sql of statements.filter((text) => text.trim() !== '')) await database.query(sql)
    const second = captureTerminal()
    await setup(settingsFor(slot), {}, second)
    expect(second.output).toContain('Nothing to do')
  })

  it.each(PROVIDERS)(
    '%s: says what it needs beside SQL, and how a role gets the right to replicate',
    async (provider) => {
      const terminal = captureTerminal()
      const slot = adoptSlot(database)
      const settings = settingsFor(slot, 'postgres://relay@127.0.0.1:1/shop')
      expect(await setup(settings, { dryRun: true, provider, withoutDatabase: true }, terminal)).toBe(0)
      const { impossible, before, grantReplication } = PROVIDER[provider]
      if (impossible !== undefined) {
        expect(terminal.output).toContain(impossible)
        expect(terminal.output).not.toContain('CREATE')
        return
      }
      for (const line of before) expect(terminal.output).toContain(`-- before: ${line}`)
      expect(terminal.output).toContain(`\n${grantReplication('relay')};\n`)
      expect(terminal.output).toContain('CREATE PUBLICATION')
      expect(terminal.output.indexOf('CREATE PUBLICATION')).toBeLessThan(
        terminal.output.indexOf('pg_create_logical_replication_slot'),
      )
    },
  )

  it('knows no other provider', async () => {
    const settings = settingsFor(adoptSlot(database))
    await expect(setup(settings, { provider: 'mainframe' }, captureTerminal())).rejects.toThrow(
      /must be one of rds, aurora/,
    )
  })
})

describe('teardown', () => {
  it('drops slot, memory and publication after a yes', async () => {
    const slot = adoptSlot(database)
    await setup(settingsFor(slot), {}, captureTerminal())
    await database.query(
      "INSERT INTO factlib.relay_slots (slot, system_id, timeline, confirmed_lsn) VALUES ($1, 1, 1, '0/1')",
      [slot.name],
    )
    const terminal = captureTerminal(true)
    expect(await teardown(settingsFor(slot), { publication: true }, terminal)).toBe(0)
    expect(terminal.questions).toEqual([expect.stringContaining('LOST')])
    expect(await database.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', [slot.name])).toEqual([])
    expect(await database.query('SELECT FROM factlib.relay_slots WHERE slot = $1', [slot.name])).toEqual([])
    expect(await database.query('SELECT FROM pg_publication WHERE pubname = $1', [slot.publication])).toEqual([])
    const again = captureTerminal()
    expect(await teardown(settingsFor(slot), { publication: true, json: true }, again)).toBe(0)
    expect(again.json()).toMatchObject({ ok: true, slotDropped: false })
  })

  it('changes nothing after a no, and nothing where nobody can answer', async () => {
    const slot = adoptSlot(database)
    await setup(settingsFor(slot), {}, captureTerminal())
    expect(await teardown(settingsFor(slot), {}, captureTerminal(false))).toBe(1)
    await expect(teardown(settingsFor(slot), {}, captureTerminal())).rejects.toThrow('--yes')
    expect(await slot.confirmedFlushLsn()).toBeGreaterThan(0n)
  })

  it('refuses while a relay holds the slot, and names who does', async () => {
    const slot = adoptSlot(database)
    await setup(settingsFor(slot), {}, captureTerminal())
    const client = new pg.Client({
      connectionString: database.url,
      application_name: 'somebody',
      ...({ replication: 'database' } as object),
    })
    client.on('error', () => {}) // Its socket is destroyed below.
    await client.connect()
    const streaming = client
      .query(
        `START_REPLICATION SLOT ${slot.name} LOGICAL 0/0 (proto_version '1', publication_names '${slot.publication}', messages 'true')`,
      )
      .catch(() => {})
    try {
      await waitFor(() => slot.activePid(), { what: 'the slot to be held' })
      await expect(teardown(settingsFor(slot), { yes: true }, captureTerminal())).rejects.toThrow(
        /held by pid \d+ \(somebody/,
      )
      expect(await slot.activePid()).toBeDefined()
    } finally {
      ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
      await streaming
    }
  })

  it('leaves a publication with tables, and the slot with it', async () => {
    const slot = adoptSlot(database)
    await setup(settingsFor(slot), {}, captureTerminal())
    await database.query('CREATE TABLE listed (id int)')
    await database.query(`ALTER PUBLICATION ${slot.publication} ADD TABLE listed`)
    await expect(teardown(settingsFor(slot), { yes: true, publication: true }, captureTerminal())).rejects.toThrow(
      /has 1 tables/,
    )
    expect(await slot.confirmedFlushLsn()).toBeGreaterThan(0n)
  })
})
