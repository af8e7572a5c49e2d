import { UnseenWriteError } from '../../src/errors.ts'
import { type AskingClient, type CallArgs, modelMethod, type PrismaTransaction } from './internals.ts'
import { quoted, type SchemaModel } from './schema-model.ts'
import type { SendingClient } from './transaction-client.ts'

/** The rows of a `deleteMany`, which Prisma only counts: read, locked, and read again as they are then. */
export interface RowsToDelete {
  readonly rows: readonly object[]
  /** Only these rows, whatever others come to match the caller's `where` in the meantime. */
  readonly where: object
}

/**
 * The rows that `where` and `limit` of these arguments mean, locked until the transaction ends: nobody changes or
 * deletes them before we do.
 * @throws UnseenWriteError when the model has no key to lock and delete rows by.
 */
export async function lockRows(
  root: SendingClient,
  bare: SendingClient,
  transaction: PrismaTransaction,
  model: SchemaModel,
  args: CallArgs,
): Promise<RowsToDelete> {
  const { key, columns } = model
  if (key === undefined) {
    throw new UnseenWriteError(
      `deleteMany on ${model.name} cannot tell its mapper which rows it deletes: the model has no @id or @unique of ` +
        'plain columns. Nothing was written. Use delete for each row, or give it one',
    )
  }
  const find = modelMethod(root, transaction, model.name, 'findMany')
  const select = Object.fromEntries([...columns.keys()].map((name) => [name, true]))
  const { where = {}, limit: take } = args
  const found = (await find({ where, select, ...(take === undefined ? {} : { take }) })) as Row[]
  if (found.length === 0) return { rows: [], where: { OR: [] } }

  const locked = await lock(bare as AskingClient, model, key, found)
  const rows = (await find({ where: { AND: [where, byKey(key, found)] }, select })) as Row[]
  if (rows.length > locked) {
    throw new UnseenWriteError(
      `deleteMany on ${model.name} could not lock the rows that it shall delete (${locked} of ${rows.length}): the ` +
        "key's values do not survive JavaScript, or the table is not the one on the search_path. Nothing was written",
    )
  }
  return { rows, where: byKey(key, rows) }
}

type Row = Readonly<Record<string, unknown>>

function byKey(key: readonly string[], rows: readonly Row[]): object {
  const [only] = key
  if (key.length === 1) return { [only!]: { in: rows.map((row) => row[only!]) } }
  return { OR: rows.map((row) => Object.fromEntries(key.map((name) => [name, row[name]]))) }
}

/** Locks the rows with these keys; resolves to how many there are. PostgreSQL itself turns JSON into the columns' types. */
async function lock(
  bare: AskingClient,
  { table, columns }: SchemaModel,
  key: readonly string[],
  rows: readonly Row[],
): Promise<number> {
  const names = key.map((name) => columns.get(name)!)
  const list = (alias: string) => names.map((name) => `${alias}.${quoted(name)}`).join(', ')
  const values = rows.map((row) => Object.fromEntries(key.map((name) => [columns.get(name), jsonOf(row[name])])))
  const counted = (await bare.$queryRawUnsafe(
    `SELECT count(*)::int AS count FROM (SELECT 1 FROM ${table} AS t WHERE (${list('t')}) IN (SELECT ${list('k')} ` +
      `FROM json_populate_recordset(NULL::${table}, $1::text::json) AS k) FOR UPDATE OF t) AS locked`,
    JSON.stringify(values),
  )) as { count: number }[]
  return counted[0]?.count ?? 0
}

function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
  return value
}
