import { attributeNames, type ModelLike, type WriteOptions } from './model-internals.ts'

/** A write of a model, as the query interface was asked for it. */
export interface SeenWrite {
  readonly kind: 'insert' | 'update' | 'delete'
  readonly model: ModelLike
  readonly options: WriteOptions
  /** Where the options stand among the arguments. */
  readonly optionsIndex: number
  /** An insert that may update a row instead. */
  readonly mayUpdate: boolean
  /** Names of the attributes that an update sets. */
  readonly changedFields: readonly string[]
  readonly tableName: unknown
  /** The condition of an update. */
  readonly where: unknown
}

interface Shape {
  readonly kind: SeenWrite['kind']
  readonly options: number
  readonly table: number
  readonly model: (args: readonly unknown[]) => unknown
  /** Arguments whose keys are the columns that are set. */
  readonly values?: readonly number[]
  readonly where?: number
}

const classOf = (index: number) => (args: readonly unknown[]) => (args[index] as object | null | undefined)?.constructor
const argument = (index: number) => (args: readonly unknown[]) => args[index]
const ofOptions = (index: number) => (args: readonly unknown[]) => (args[index] as WriteOptions | undefined)?.model

/** The methods of the query interface that write rows of a model, and where they take what. */
const SHAPES: { readonly [method: string]: Shape } = {
  insert: { kind: 'insert', options: 3, table: 1, model: classOf(0) },
  upsert: { kind: 'insert', options: 4, table: 0, model: ofOptions(4), values: [2] },
  bulkInsert: { kind: 'insert', options: 2, table: 0, model: ofOptions(2) },
  update: { kind: 'update', options: 4, table: 1, model: classOf(0), values: [2], where: 3 },
  bulkUpdate: { kind: 'update', options: 3, table: 0, model: ofOptions(3), values: [1], where: 2 },
  delete: { kind: 'delete', options: 3, table: 1, model: classOf(0) },
  bulkDelete: { kind: 'delete', options: 2, table: 0, model: argument(3) },
  increment: { kind: 'update', options: 5, table: 1, model: argument(0), values: [3, 4], where: 2 },
  decrement: { kind: 'update', options: 5, table: 1, model: argument(0), values: [3, 4], where: 2 },
}

export const WRITE_METHODS: readonly string[] = Object.keys(SHAPES)

/** What this call writes; undefined for a call that is not made for a model (a migration's, a seed's). */
export function seenWrite(method: string, args: readonly unknown[]): SeenWrite | undefined {
  const shape = SHAPES[method]
  const model = shape?.model(args) as ModelLike | undefined
  if (shape === undefined || model?.tableAttributes === undefined) return undefined
  const options = (args[shape.options] ?? {}) as WriteOptions
  const names = attributeNames(model)
  const columns = shape.values?.flatMap((index) => Object.keys((args[index] as object | undefined) ?? {}))
  return {
    kind: shape.kind,
    model,
    options,
    optionsIndex: shape.options,
    mayUpdate: method === 'upsert' || options.updateOnDuplicate !== undefined,
    changedFields: (columns ?? options.updateOnDuplicate ?? []).map((column) => names.get(column) ?? column),
    tableName: args[shape.table],
    where: shape.where === undefined ? undefined : args[shape.where],
  }
}
