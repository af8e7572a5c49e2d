import type { ModelOperation } from '../models.ts'
import type { QueryGeneratorLike, SequelizeInternals, TransactionInternals } from './model-internals.ts'
import type { SeenWrite } from './seen-write.ts'
import type { WrittenRow } from './written-rows.ts'

/**
 * On a paranoid model an UPDATE that sets `deletedAt` may delete a row, restore it, or neither. The rows are asked, and
 * locked, before: a row that was deleted already is not deleted a second time.
 */

/** What an update did to a row. */
export type OperationOf = (row: WrittenRow) => ModelOperation

/** Whether this update sets the column that says that a row is deleted. */
export function setsDeletedAt({ kind, model, changedFields }: SeenWrite): boolean {
  const { deletedAt } = model._timestampAttributes
  return kind === 'update' && deletedAt !== undefined && changedFields.includes(deletedAt)
}

/** Asks which of the rows are deleted now. */
export async function beforeSoftDelete(
  sequelize: SequelizeInternals,
  queryGenerator: QueryGeneratorLike,
  write: SeenWrite,
  transaction: TransactionInternals,
): Promise<OperationOf> {
  const { model } = write
  const deletedAt = model._timestampAttributes.deletedAt!
  const attribute = model.tableAttributes[deletedAt] ?? {}
  const keys = Object.entries(model.primaryKeys).map(([name, { field }]) => ({ name, column: field ?? name }))
  const columns = [...keys.map(({ column }) => column), attribute.field ?? deletedAt]
  const list = columns.map((column, index) => `${queryGenerator.quoteIdentifier(column)} AS "factlib:${index}"`)
  const condition = queryGenerator.whereQuery(write.where, {})
  const found = (await sequelize.query(
    `SELECT ${list.join(', ')} FROM ${queryGenerator.quoteTable(write.tableName)} ${condition} FOR UPDATE`,
    { type: 'SELECT', raw: true, plain: false, transaction, logging: write.options.logging, retry: { max: 1 } },
  )) as Record<string, unknown>[]

  const isDeleted = (value: unknown) => !same(value ?? null, attribute.defaultValue ?? null)
  const before = new Map(
    found.map((row) => [
      JSON.stringify(keys.map((_, index) => String(row[`factlib:${index}`]))),
      isDeleted(row[`factlib:${keys.length}`]),
    ]),
  )
  return ({ values }) => {
    const wasDeleted = before.get(JSON.stringify(keys.map(({ name }) => String(values[name]))))
    const nowDeleted = isDeleted(values[deletedAt])
    if (nowDeleted) return wasDeleted === true ? 'updated' : 'deleted'
    return wasDeleted === true ? 'restored' : 'updated'
  }
}

function same(one: unknown, other: unknown): boolean {
  const plain = (value: unknown) => (value instanceof Date ? value.getTime() : value)
  return plain(one) === plain(other)
}
