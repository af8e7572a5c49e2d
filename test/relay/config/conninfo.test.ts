import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseConnectionParameters } from '../../../relay/config/conninfo.ts'
import { parseDatabaseUrl } from '../../../relay/config/database-url.ts'
import { ConfigurationError } from '../../../src/errors.ts'

// Recorded from PQconninfoParse of libpq 15.18: the text, and its parameters, or null where libpq refuses it.
const recorded = JSON.parse(readFileSync(new URL('libpq-15.json', import.meta.url), 'utf8')) as [
  string,
  Record<string, string> | null,
][]

// libpq takes the empty text as "all defaults"; for us it is a setting that was forgotten.
const REFUSED_BY_US = ['', '  ']

/** A port list without a port in it says nothing. */
function meaning(parameters: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(parameters).filter(([name, value]) => !(name === 'port' && /^,*$/.test(value))),
  )
}

describe('reads what libpq reads', () => {
  for (const [text, expected] of recorded.filter(([, parameters]) => parameters !== null)) {
    if (REFUSED_BY_US.includes(text)) continue
    test(JSON.stringify(text), () => {
      expect(Object.fromEntries(parseConnectionParameters(text).values)).toEqual(meaning(expected!))
    })
  }
})

describe('refuses what libpq refuses', () => {
  const refused = recorded.filter(([text, parameters]) => parameters === null || REFUSED_BY_US.includes(text))
  for (const [text] of refused) {
    test(JSON.stringify(text), () => {
      expect(() => parseDatabaseUrl(text, { env: {}, osUser: 'me', readFile: () => '' })).toThrow(ConfigurationError)
    })
  }
})

test('a Prisma proxy and a wrong scheme are told from text without any form', () => {
  const message = (text: string) => {
    try {
      parseConnectionParameters(text)
    } catch (error) {
      return (error as Error).message
    }
    return 'taken'
  }
  expect(message('prisma+postgres://accelerate.example/?api_key=abc')).toContain('direct')
  expect(message('mysql://h/d')).toContain('must begin with postgres://')
  expect(message('Postgres://h/d')).toContain('lower case')
  expect(message('localhost')).toContain('neither a URL')
})
