import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { collectDeadLetters, type DeadLetterRecord } from '../../../relay/cli/dead-letter-book.ts'
import { backlogLine, humanLog, liveLine } from '../../../relay/cli/live-line.ts'
import { showPayload } from '../../../relay/cli/payload.ts'
import { connectRemedy } from '../../../relay/cli/setup.ts'
import { budgetInWords, lagInWords } from '../../../relay/cli/status.ts'
import { createTerminal, formatBytes, formatSeconds, jsonLine, printable } from '../../../relay/cli/terminal.ts'
import { scramVerifier } from '../../../relay/setup/scram.ts'
import { encodeFact } from '../../../src/envelope/encode.ts'
import { Fact } from '../../../src/fact.ts'

function processWith(isTTY: boolean, env: Record<string, string> = {}) {
  const stream = () => Object.assign(new PassThrough(), { isTTY })
  return { stdin: stream(), stdout: stream(), stderr: stream(), env }
}

describe('a terminal', () => {
  it('is coloured only where a person looks, and not with NO_COLOR', () => {
    expect(createTerminal(processWith(true)).paint.red('x')).toBe('\u001b[31mx\u001b[0m')
    expect(createTerminal(processWith(true, { NO_COLOR: '1' })).paint.red('x')).toBe('x')
    expect(createTerminal(processWith(false)).paint.red('x')).toBe('x')
    expect(createTerminal(processWith(true, { TERM: 'dumb' })).isLive).toBe(false)
  })

  it('asks, and takes nothing but yes; where nobody can answer it says --yes', async () => {
    for (const [answer, meant] of [
      ['yes', true],
      ['YES ', true],
      ['y', false],
      ['', false],
    ] as const) {
      const process = processWith(true)
      const confirmed = createTerminal(process).confirm('Sure?')
      process.stdin.write(`${answer}\n`)
      expect(await confirmed).toBe(meant)
    }
    await expect(createTerminal(processWith(false)).confirm('Sure?')).rejects.toThrow(/Sure\?[\s\S]*--yes/)
  })

  it('writes sizes, times, foreign text and bigints so that they can be read', () => {
    expect([0, 1_023, 1_536, 1_572_864, 5e12].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.5 KiB',
      '1.5 MiB',
      '4.5 TiB',
    ])
    expect([0.42, 59, 61, 3_723, 200_000].map(formatSeconds)).toEqual([
      '0.4 s',
      '59 s',
      '1 min 1 s',
      '1 h 2 min',
      '2 d 7 h',
    ])
    expect(printable('a\u001b[2J\u202eb')).toBe('a\\u001b[2J\\u202eb')
    expect(printable('x'.repeat(300)).length).toBe(201)
    expect(jsonLine({ offset: 9_007_199_254_740_993n })).toBe('{"offset":"9007199254740993"}\n')
  })
})

it('setup says what to do about a database that is not there, and nothing about other errors', () => {
  expect(connectRemedy({ code: '3D000' }, { database: 'Shop' })).toBe(
    ': create it (CREATE DATABASE "Shop"), or mend its name in MASTER_DATABASE_URL',
  )
  expect(connectRemedy({ code: '28P01' }, { database: 'shop' })).toBe('')
})

describe('the lag and the budget in status', () => {
  const holder = { pid: 1, applicationName: null, address: null, since: null }
  it.each<[string, number, number | null, number, boolean, string]>([
    ['nothing', 0, 10, 0, true, ''],
    [
      'an idle relay is no alarm',
      65_536,
      10,
      0,
      true,
      ' (up to 64 KiB is usual; /readyz of the relay says whether facts wait)',
    ],
    ['a relay that confirms', 65_537, 2, 900, true, '; the last confirmation took 2.0 s'],
    [
      'a relay that does not',
      65_537,
      2,
      0,
      true,
      '; nothing was confirmed between the two looks: /readyz of the relay says what waits',
    ],
    ['nobody reads', 224, 61, 0, false, ', 1 min 1 s'],
    ['nobody reads, no commit seen', 224, null, 0, false, ', age not known'],
  ])('%s', (_, confirmedLagBytes, lagSeconds, confirmedBytesPerSecond, isHeld, words) => {
    const status = { confirmedLagBytes, lagSeconds, confirmedBytesPerSecond, holder: isHeld ? holder : null }
    expect(lagInWords(status)).toBe(words)
  })

  it('a budget without a limit is said, and is not that of a lost slot', () => {
    const none = { budgetLeftBytes: null, budgetLeftSeconds: null }
    expect(budgetInWords({ ...none, walStatus: 'reserved' })).toBe('unlimited')
    expect(budgetInWords({ ...none, walStatus: 'lost' })).toBe('none: the slot is lost')
    expect(budgetInWords({ budgetLeftBytes: 1_024, budgetLeftSeconds: 3, walStatus: 'extended' })).toBe(
      '1.0 KiB left until PostgreSQL gives up the slot, 3.0 s at the present rate',
    )
  })
})

describe('a payload', () => {
  it.each<[Buffer, string]>([
    [Buffer.from('{"a":[1]}'), '{\n  "a": [\n    1\n  ]\n}'],
    [Buffer.from('{"id":12345678901234567890}'), '{"id":12345678901234567890}'],
    [Buffer.from('plain text'), 'plain text'],
    [Buffer.alloc(0), '(empty)'],
    [Buffer.from([0x00, 0xff, 0x41]), `00000000  00 ff 41${' '.repeat(41)}|..A|`],
    [Buffer.from('\u001b[31m'), `00000000  1b 5b 33 31 6d${' '.repeat(35)}|.[31m|`],
  ])('%o is shown', (bytes, text) => {
    expect(showPayload(bytes)).toBe(text)
  })
})

describe('the live line', () => {
  const sample = { phase: 'streaming', factsPerSecond: 12, lagBytes: 2_048, lagSeconds: 0.5 }
  it('says phase, rate, lag and Kafka on one line of the terminal', () => {
    expect(liveLine({ ...sample, health: { ok: true } }, 80)).toBe(
      'streaming  12 facts/s  lag 2.0 KiB, 0.5 s  Kafka ok',
    )
    expect(liveLine({ ...sample, health: { ok: false, reason: 'x'.repeat(200) } }, 60)).toHaveLength(60)
  })

  it('says how much of a backlog is left, and for how long', () => {
    expect(backlogLine({ totalBytes: 4_194_304, doneBytes: 1_048_576, seconds: 10 }, 100)).toBe(
      `backlog [${'#'.repeat(10)}${'-'.repeat(30)}] 25 %  1.0 MiB of 4.0 MiB  30 s left`,
    )
    expect(backlogLine({ totalBytes: 100, doneBytes: 0, seconds: 1 }, 100)).toContain('time left not known yet')
    expect(backlogLine({ totalBytes: 100, doneBytes: 50, seconds: 1 }, 30)).toHaveLength(30)
  })

  it('reads log lines to a person', () => {
    expect(
      humanLog('{"level":"warn","time":"2026-01-02T03:04:05.678Z","name":"factlib-relay","slot":"s","msg":"gone"}\n'),
    ).toBe('03:04:05 warn  gone slot=s')
    expect(humanLog('not JSON\n')).toBe('not JSON')
  })
})

describe('the book of dead letters', () => {
  const value = Buffer.from(
    encodeFact(
      new Fact({ prefix: 'shop', aggregateType: 'order', aggregateId: '1', eventType: 'e', payload: 'x'.repeat(50) }),
    ),
  )
  let offset = 0n
  function record(id: string, part: string, bytes: Buffer, change: Partial<DeadLetterRecord> = {}): DeadLetterRecord {
    const headers = {
      event_id: id,
      dead_letter_id: id,
      dead_letter_part: part,
      dead_letter_cause: 'too_large',
      dead_letter_topic: 't',
      dead_letter_lsn: '0/10',
    }
    return { partition: 0, offset: offset++, key: Buffer.from('1'), value: bytes, headers, timestampMs: 1, ...change }
  }
  const marker = (id: string) => record(id, '1/1', Buffer.alloc(0), { headers: { dead_letter_resolved: id } })

  it('puts parts together; delivered twice, they count once', () => {
    const parts = [record('a', '1/2', value.subarray(0, 20)), record('a', '2/2', value.subarray(20))]
    const [letter, ...others] = collectDeadLetters([...parts, ...parts])
    expect(others).toEqual([])
    expect(letter).toMatchObject({
      id: 'a',
      parts: 2,
      problem: undefined,
      isResolved: false,
      headers: { event_id: 'a' },
    })
    expect(letter?.value).toEqual(value)
  })

  it('says what is missing, differs, or makes no envelope, and then has no value to requeue', () => {
    const [missing] = collectDeadLetters([record('a', '2/3', value)])
    expect(missing).toMatchObject({ value: undefined, problem: expect.stringContaining('number 1, 3 is missing') })
    const [differs] = collectDeadLetters([record('b', '1/1', value), record('b', '1/1', Buffer.from('other'))])
    expect(differs).toMatchObject({ value: undefined, problem: expect.stringContaining('differ') })
    const [broken] = collectDeadLetters([record('c', '1/1', value.subarray(0, 20))])
    expect(broken?.problem).toContain('no envelope')
  })

  it('knows what was resolved, keeps the order of a partition, and passes over records of others', () => {
    const letters = collectDeadLetters([
      record('late', '1/1', value, {
        partition: 1,
        headers: { dead_letter_id: 'late', dead_letter_lsn: '1/0', dead_letter_part: '1/1' },
      }),
      record('first', '1/1', value),
      record('second', '1/1', value),
      record('x', '1/1', value, { headers: { event_id: 'somebody' } }),
      marker('first'),
    ])
    expect(letters.map(({ id, isResolved }) => [id, isResolved])).toEqual([
      ['first', true],
      ['second', false],
      ['late', false],
    ])
  })
})

it('a SCRAM verifier is that of RFC 7677’s example', () => {
  // Salt, iterations and password of the RFC: with them StoredKey and ServerKey are fixed.
  const verifier = scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'))
  expect(verifier).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  )
})
