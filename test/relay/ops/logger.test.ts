import { expect, test } from 'vitest'
import { createLogger, type LoggerOptions } from '../../../relay/ops/logger.ts'

function collect(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = []
  const logger = createLogger({ level: 'info', stream: { write: (line: string) => void lines.push(line) }, ...options })
  return { logger, lines, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown> }
}

test('one JSON object a line, with level, time and message, down to the level', () => {
  const { logger, lines, last } = collect()
  logger.debug({}, 'not this')
  logger.warn({ slot: 's', lsn: 5n }, 'two\nlines')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/^\{[^\n]*\}\n$/)
  expect(last()).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    name: 'factlib-relay',
    slot: 's',
    lsn: '5',
    msg: 'two\nlines',
  })
  const silent = collect({ level: 'silent' })
  silent.logger.error({}, 'x')
  expect(silent.lines).toEqual([])
})

test('no secret gets through, wherever it is', () => {
  const { logger, lines } = collect({ secrets: ['hunter22', 'p@ss word'] })
  const cause = new Error('user app, password hunter22')
  const error = Object.assign(new Error('cannot connect to postgres://app:p%40ss%20word@db/shop', { cause }), {
    code: 'ECONNREFUSED',
    client: { password: 'other' },
  })
  logger.error({ error, nested: { deep: [{ text: 'hunter22' }] } }, 'hunter22 and p%40ss%20word failed')
  logger.error({ password: 'other', sasl: { password: 'other' }, databaseUrl: 'other', KAFKA_PASSWORD: 'other' }, 'x')
  logger.error({ url: 'postgres://u:unknown-to-us@h/d' }, 'see kafka://u:unknown-to-us@h')
  expect(lines.join('')).not.toMatch(/hunter22|p%40ss|p@ss|other|unknown-to-us/)
  expect(lines[0]).toContain('postgres://app:***@db/shop')
})

test('errors: code, message and cause; a stack only where it is not an error of ours; payloads only by their size', () => {
  const { logger, last } = collect()
  logger.error({ error: Object.assign(new Error('ours'), { code: 'FACTLIB_SLOT_GONE' }) }, 'x')
  expect(last()['error']).toEqual({ type: 'Error', code: 'FACTLIB_SLOT_GONE', message: 'ours' })
  logger.error(
    { error: new TypeError('theirs', { cause: 'because' }), value: new Uint8Array(3), when: new Date(0) },
    'x',
  )
  expect(last()).toMatchObject({
    error: { type: 'TypeError', message: 'theirs', cause: 'because', stack: expect.stringContaining('logger.test') },
    value: '[3 bytes]',
    when: '1970-01-01T00:00:00.000Z',
  })
})

test('a cycle does not end the process', () => {
  const { logger, lines } = collect()
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  logger.info(cycle, 'x')
  expect(lines).toHaveLength(1)
})
