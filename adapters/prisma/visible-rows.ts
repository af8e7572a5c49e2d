import type { CallArgs } from './internals.ts'
import type { SchemaModel } from './schema-model.ts'

/** A mapper gets the full row, whatever `select`, `omit` and the client's own `omit` say; the caller gets what they say. */

/** The arguments with all columns asked for, and what makes a row of them into the one that the caller asked for. */
export function widen(
  args: CallArgs,
  { columns }: SchemaModel,
  globalOmit: Readonly<Record<string, unknown>>,
): { readonly args: CallArgs; readonly hide: (row: object) => object } {
  const all = [...columns.keys()]
  const { select, omit } = args as { select?: Record<string, unknown>; omit?: Record<string, unknown> }
  if (typeof select === 'object' && select !== null) {
    // An empty selection is an error, which Prisma has the words for.
    if (!Object.values(select).some((one) => one !== false && one !== undefined)) return { args, hide: asItIs }
    const added = all.filter((name) => select[name] !== true)
    return { args: { ...args, select: { ...select, ...values(added, true) } }, hide: (row) => without(row, added) }
  }
  const left = all.filter((name) => omit?.[name] ?? globalOmit[name])
  if (left.length === 0) return { args, hide: asItIs }
  return { args: { ...args, omit: { ...omit, ...values(left, false) } }, hide: (row) => without(row, left) }
}

/** The row's own columns, in an object of their own: a mapper that changes it changes nothing for the caller. */
export function pick(row: object, { columns }: SchemaModel): object {
  const all = row as Record<string, unknown>
  return Object.fromEntries([...columns.keys()].map((name) => [name, all[name]]))
}

function asItIs(row: object): object {
  return row
}

/**
 * Not deleted but not enumerable: a computed field (`result` of an extension) may need a column that the caller did not
 * ask for. It is in no JSON, no spread and no printed row.
 */
function without(row: object, names: readonly string[]): object {
  for (const name of names) Object.defineProperty(row, name, { enumerable: false })
  return row
}

function values(names: readonly string[], value: boolean): Record<string, boolean> {
  return Object.fromEntries(names.map((name) => [name, value]))
}
