/** The only SQL that writes. */

/** One statement with its parameters, in the two forms that drivers take: pieces of a template, or text with `$1`. */
export interface Statement {
  /** The pieces around the values; one more than there are values. */
  readonly strings: readonly string[]
  /** Text, or bytes (a `Buffer`). */
  readonly values: readonly (string | Uint8Array)[]
  /** The pieces joined with `$1`, `$2`, … */
  readonly text: string
}

/** An envelope on its way into the WAL. */
export interface Message {
  readonly prefix: string
  readonly content: Uint8Array
}

// Both casts are needed: the function is overloaded (text, bytea). The result is cast because drivers may not know pg_lsn.
const ONE = ['SELECT pg_logical_emit_message(true, ', '::text, ', '::bytea)::text AS lsn']

// The messages travel as one text parameter, so that it is one statement and one round trip whatever their count. The
// ordering is in a subquery, which is done before the function is called: they stand in the WAL as in the array.
const MANY = [
  "SELECT pg_logical_emit_message(true, message->>0, decode(message->>1, 'base64'))::text AS lsn" +
    ' FROM (SELECT message FROM json_array_elements(',
  '::text::json) WITH ORDINALITY AS listed (message, place) ORDER BY place) AS ordered',
]

const ONE_TEXT = textOf(ONE)

/** Writes one message into the WAL, as part of the transaction; one row, its LSN as text. */
export function emitOneStatement({ prefix, content }: Message): Statement {
  return { strings: ONE, values: [prefix, asBuffer(content)], text: ONE_TEXT }
}

const MANY_TEXT = textOf(MANY)

/** Writes all messages into the WAL in this order, in one round trip; a row for each, its LSN as text. */
export function emitManyStatement(messages: readonly Message[]): Statement {
  const rows = messages.map(({ prefix, content }) => [prefix, asBuffer(content).toString('base64')])
  return { strings: MANY, values: [JSON.stringify(rows)], text: MANY_TEXT }
}

/**
 * The statement, so that PostgreSQL itself refuses it in the wrong place; one row, `outcome` as text:
 *
 *   the transaction has no id yet         it gets one, nothing is written    `743`
 *   it has another one than `expectedId`  nothing is written                 `743`
 *   else, and with an empty `expectedId`  written                            `0/15E8A90`, with `tellId` `0/15E8A90 743`
 *
 * How a caller goes on is in `guardedExecutor`.
 */
export function guardedStatement(statement: Statement, expectedId: string, tellId = false): Statement {
  const { strings, text } = guardedForm(statement.strings, expectedId !== '', tellId)
  return { strings, values: expectedId === '' ? statement.values : [expectedId, ...statement.values], text }
}

/** What a guarded statement's row says; of what was written the id only where it was asked for. */
export type Outcome =
  | { readonly written: true; readonly transactionId: string | undefined }
  | { readonly written: false; readonly transactionId: string }

export function readOutcome(outcome: string): Outcome {
  if (!outcome.includes('/')) return { written: false, transactionId: outcome }
  return { written: true, transactionId: outcome.split(' ')[1] }
}

// A branch of CASE is evaluated only when it is taken, and a subquery without outer references only when it is first
// asked for: nothing is written unless the condition holds. One column: each takes its part of the round trip.
const IF_ANY = 'SELECT CASE WHEN pg_current_xact_id_if_assigned() IS NOT NULL THEN '
const IF_EXPECTED = 'SELECT CASE WHEN pg_current_xact_id_if_assigned()::text = '
const AND_ID = " || ' ' || pg_current_xact_id_if_assigned()::text"
const OTHERWISE = ' ELSE pg_current_xact_id()::text END AS outcome'
const ONE_ALONE = ['pg_logical_emit_message(true, ', '::text, ', '::bytea)::text']

/** A statement without its values. */
type Form = Pick<Statement, 'strings' | 'text'>

/** Made once each: by whether an id is expected, and whether it is to be told. */
const guardedForms = new WeakMap<readonly string[], Map<number, Form>>()

function guardedForm(inner: readonly string[], isExpected: boolean, tellId: boolean): Form {
  const forms = guardedForms.get(inner) ?? new Map<number, Form>()
  guardedForms.set(inner, forms)
  const key = (isExpected ? 1 : 0) + (tellId ? 2 : 0)
  const made = forms.get(key)
  if (made !== undefined) return made
  const strings = guarded(inner, isExpected, tellId)
  const form = { strings, text: textOf(strings) }
  forms.set(key, form)
  return form
}

function guarded(inner: readonly string[], isExpected: boolean, tellId: boolean): readonly string[] {
  // One message needs no subquery, which is a third of the time that PostgreSQL takes for it.
  const one = inner === ONE
  const [first, ...rest] = one ? ONE_ALONE : inner
  const inside = [one ? first! : `(SELECT '/' || count(facts.lsn)::text FROM (${first}`, ...rest]
  inside[inside.length - 1] += `${one ? '' : ') AS facts)'}${tellId ? AND_ID : ''}${OTHERWISE}`
  if (!isExpected) return [IF_ANY + inside[0], ...inside.slice(1)]
  return [IF_EXPECTED, `::text THEN ${inside[0]}`, ...inside.slice(1)]
}

function textOf(strings: readonly string[]): string {
  let text = strings[0]!
  for (let i = 1; i < strings.length; i++) text += `$${i}${strings[i]}`
  return text
}

/** Drivers know a `Buffer`; some take another Uint8Array for JSON. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
