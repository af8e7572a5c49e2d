import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { PROVIDERS } from '../../../relay/setup/providers.ts'
import { findDifference, readGuide } from './guide.ts'

const text = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8')

describe('docs/operations.md', () => {
  it('has no command that a test does not run, and none is run that is not there', () => {
    const sources = readdirSync(new URL('.', import.meta.url))
      .filter((name) => name.endsWith('.e2e.test.ts'))
      .map((name) => readFileSync(new URL(name, import.meta.url), 'utf8'))
      .join('\n')
    const played = [...sources.matchAll(/\.play\('([a-z0-9-]+)'/g)].map(([, name]) => name)
    const provided = PROVIDERS.map((provider) => `install-dry-${provider}`)
    const blocks = readGuide(text).map(({ name }) => name)
    expect(blocks.length).toBeGreaterThan(30)
    expect([...blocks].sort()).toEqual([...new Set([...played, ...provided])].sort())
  })

  it('has a line for each alert, and leads to headings that exist', () => {
    const rules = readFileSync(new URL('../../../ops/alerts.yaml', import.meta.url), 'utf8')
    const alerts = [...rules.matchAll(/^ *- alert: (\w+)$/gm)].map(([, alert]) => alert)
    expect(alerts.length).toBeGreaterThan(10)
    for (const alert of alerts) expect(text).toContain(`\`${alert}\``)
    const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
      (title as string)
        .toLowerCase()
        .replace(/[^a-z0-9 -]/g, '')
        .replaceAll(' ', '-'),
    )
    for (const [, anchor] of text.matchAll(/\]\(#([a-z0-9-]+)\)/g)) expect(anchors).toContain(anchor)
  })

  it('quotes the warnings of the log as the relay writes them', () => {
    const log = (file: string) =>
      readFileSync(new URL(`../../../relay/${file}`, import.meta.url), 'utf8').replace(/\$\{[^}]*\}/g, '…')
    const watch = log('confirmation-watch.ts')
    for (const [file, source] of [
      ['`… facts wait for Kafka, the oldest for … s; PostgreSQL keeps WAL for them`', watch],
      ['`facts are durable in Kafka up to …, but for … s PostgreSQL was told nothing beyond …', watch],
      ["`the slot's position could not be remembered, so it is not confirmed yet", log('source/wal/slot-keeper.ts')],
      ['`created the replication slot: facts emitted before this moment are not in it`', log('source/wal/slot.ts')],
    ] as const) {
      expect(text).toContain(file)
      expect(source).toContain(file.replace(/^`|`$/g, ''))
    }
  })
})

describe('the comparison', () => {
  const differs = (guide: string, printed: string) => findDifference(guide.split('\n'), printed.split('\n'))

  it('takes positions, times, ids, sizes and durations for examples', () => {
    const guide = '0/3A1B2C8 2026-11-21T03:12:44.123Z 0190c2f4-7a11-7c3e-9a51-3f0c5d2b8e11 1.5 MiB, 3 s, pid 17, 0@3'
    const printed = '1A/FF 2027-01-02 00:00:00+00 fffffff4-7a11-7c3e-9a51-3f0c5d2b8e11 12 B, 2 min 1 s, pid 4, 2@101'
    expect(differs(guide, printed)).toBeUndefined()
    expect(differs('dropped 3 slots', 'dropped 4 slots')).toMatch(/line 1 is not like/)
    expect(differs('0/3A1B2C8', 'nowhere')).toMatch(/line 1/)
  })

  it('leaves out lines only where the guide does', () => {
    expect(differs('a\n…\nd', 'a\nb\nc\nd')).toBeUndefined()
    expect(differs('a\nd', 'a\nb\nc\nd')).toMatch(/line 2 is not like "d"/)
    expect(differs('a', 'a\nb')).toMatch(/more than the guide shows, from "b"/)
    expect(differs('a\n…', 'a\nb')).toBeUndefined()
    expect(differs('…\nx', 'a\nb')).toMatch(/no line like "x"/)
    expect(differs('a\nb', 'a')).toMatch(/line 2/)
    expect(differs('say … twice', 'say it twice')).toBeUndefined()
  })
})

it('a console block without a name is refused', () => {
  expect(() => readGuide('```console\n$ x\n```')).toThrow(/nobody runs/)
  expect(() => readGuide('```console run=a\n```')).toThrow(/no command/)
  expect(() => readGuide('```console run=a\n$ x\n```\n```console run=a\n$ x\n```')).toThrow(/there twice/)
})
