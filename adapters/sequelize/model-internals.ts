import type { SequelizeLike, SequelizeTransactionLike } from './sequelize-like.ts'

/**
 * What is needed of Sequelize 6 to see the writes of its models, by structure. Every write of a model goes through one
 * of nine methods of the query interface, whatever called it: an instance, a static method, an association, a hook.
 */

/** An attribute as the model knows it. */
export interface AttributeLike {
  /** The column. */
  readonly field?: string
  readonly defaultValue?: unknown
}

/** A model class; scoped and unscoped variants have the same name. */
export interface ModelLike {
  readonly name: string
  /** By attribute; without the virtual ones. */
  readonly tableAttributes: { readonly [attribute: string]: AttributeLike }
  readonly primaryKeys: { readonly [attribute: string]: AttributeLike }
  readonly _timestampAttributes: { readonly deletedAt?: string }
  build(values: object, options: { readonly raw: true; readonly isNewRecord: false }): object
}

/** The options of a write, as far as they are looked at. */
export interface WriteOptions {
  readonly transaction?: SequelizeTransactionLike | null | undefined
  readonly logging?: unknown
  readonly model?: ModelLike
  readonly updateOnDuplicate?: readonly string[]
  readonly truncate?: boolean
  returning?: unknown
}

type Method = (...args: never[]) => unknown

/** The parts of the query generator that make the text of a write. */
export interface QueryGeneratorLike {
  insertQuery: Method
  bulkInsertQuery: Method
  updateQuery: Method
  arithmeticQuery: Method
  deleteQuery: (...args: unknown[]) => string
  generateReturnValues(attributes: unknown, options: WriteOptions): { readonly returningFragment: string }
  whereQuery(where: unknown, options: object): string
  quoteIdentifier(name: string): string
  quoteTable(table: unknown): string
}

export type QueryInterfaceLike = { readonly queryGenerator: QueryGeneratorLike } & {
  [method: string]: (...args: unknown[]) => Promise<unknown>
}

/** A `Sequelize` instance with what its types do not show, or show in another form. */
export interface SequelizeInternals extends SequelizeLike {
  readonly models: { readonly [name: string]: ModelLike }
  getDialect(): string
  getQueryInterface(): QueryInterfaceLike
  transaction(): Promise<unknown>
  transaction(options: object, body: (transaction: SequelizeTransactionLike) => Promise<unknown>): Promise<unknown>
}

/** A transaction with its place among others. */
export interface TransactionInternals extends SequelizeTransactionLike {
  readonly finished?: unknown
  readonly parent?: TransactionInternals | null
  readonly savepoints?: readonly TransactionInternals[]
  readonly connection?: object
}

/** The name of the attribute that a column belongs to. */
export function attributeNames(model: ModelLike): ReadonlyMap<string, string> {
  return new Map(Object.entries(model.tableAttributes).map(([name, { field }]) => [field ?? name, name]))
}
