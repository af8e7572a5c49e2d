import {
  attributeNames,
  type QueryGeneratorLike,
  type QueryInterfaceLike,
  type SequelizeInternals,
  type TransactionInternals,
  type WriteOptions,
} from './model-internals.ts'
import type { SeenWrite } from './seen-write.ts'

/**
 * The rows that a write has touched, as the database gives them back: RETURNING is added to the statement, and taken
 * out of its result again before Sequelize sees it, so that its methods return what they return without factlib.
 */

/** A row that was written, by attribute. */
export interface WrittenRow {
  readonly values: { readonly [attribute: string]: unknown }
  /** Whether an insert that may update has inserted it. */
  readonly inserted: boolean
}

interface DriverResult {
  rows?: Record<string, unknown>[]
}

type DriverCallback = (error: unknown, result?: DriverResult | DriverResult[]) => void
type DriverQuery = (...args: unknown[]) => unknown

const INSERTED = 'factlib:inserted'
const CAUGHT = 'sequelize_caught_exception'

/**
 * The row is new when nobody has ever locked or updated it. ON CONFLICT DO UPDATE locks the row that it updates, and
 * the lock is carried over to the new version; so this is true under a race too.
 */
const WAS_INSERTED = `, (xmax = 0) AS "${INSERTED}"`

/**
 * The query interface for this one write: what it sends carries RETURNING, and goes over the transaction's connection
 * through `rows`, which is filled.
 */
export function returningQueryInterface(
  queryInterface: QueryInterfaceLike,
  sequelize: SequelizeInternals,
  write: SeenWrite,
  rows: WrittenRow[],
): QueryInterfaceLike {
  const names = attributeNames(write.model)
  const columns = [...names.keys()]
  // By number: a column's name and a prefix together may be longer than an identifier can be.
  const own = (column: string) => `factlib:${columns.indexOf(column)}`
  let asked: 'nothing' | 'some columns' | 'the row' = 'nothing'

  const take = (row: Record<string, unknown>): void => {
    const caught = row[CAUGHT]
    const inserted = row[INSERTED] !== false
    delete row[INSERTED]
    const found = columns.map((column) => [
      names.get(column) ?? column,
      row[asked === 'the row' ? column : own(column)],
    ])
    if (asked !== 'the row') for (const column of columns) delete row[own(column)]
    if (caught === undefined || caught === null) rows.push({ values: Object.fromEntries(found), inserted })
  }
  const split = (result: DriverResult): void => {
    for (const row of result.rows ?? []) take(row)
    if (asked === 'nothing' && result.rows !== undefined) result.rows = []
  }

  const sequelizeForWrite = Object.create(sequelize, {
    query: {
      value: (sql: string, options: WriteOptions) =>
        sequelize.query(sql, {
          ...options,
          transaction: overConnection(options.transaction as TransactionInternals, split),
        }),
    },
  })
  const { queryGenerator } = queryInterface
  const ownColumns = columns.map((column) => `${queryGenerator.quoteIdentifier(column)} AS "${own(column)}"`).join(', ')
  const inserted = write.mayUpdate ? WAS_INSERTED : ''
  const always = (method: 'insertQuery' | 'bulkInsertQuery' | 'updateQuery' | 'arithmeticQuery', index: number) => ({
    value(...args: unknown[]) {
      const options = args[index] as WriteOptions
      const { returning } = options
      // Increments return their row unless they are told not to.
      const wanted = returning === undefined && method === 'arithmeticQuery' ? true : returning
      asked = !wanted ? 'nothing' : Array.isArray(wanted) ? 'some columns' : 'the row'
      options.returning = wanted || true
      const query = (queryGenerator[method] as (...rest: unknown[]) => unknown).apply(generatorForWrite, args)
      options.returning = wanted
      return query
    },
  })
  const generatorForWrite: QueryGeneratorLike = Object.create(queryGenerator, {
    insertQuery: always('insertQuery', 3),
    bulkInsertQuery: always('bulkInsertQuery', 2),
    updateQuery: always('updateQuery', 3),
    arithmeticQuery: always('arithmeticQuery', 5),
    deleteQuery: {
      value: (...args: unknown[]) => `${queryGenerator.deleteQuery(...args)} RETURNING ${ownColumns}`,
    },
    generateReturnValues: {
      value(attributes: unknown, options: WriteOptions) {
        const given = queryGenerator.generateReturnValues(attributes, options)
        const fragment =
          asked === 'the row'
            ? given.returningFragment
            : asked === 'some columns'
              ? `${given.returningFragment}, ${ownColumns}`
              : ` RETURNING ${ownColumns}`
        return { ...given, returningFragment: fragment + inserted }
      },
    },
  })
  return Object.create(queryInterface, {
    sequelize: { value: sequelizeForWrite },
    queryGenerator: { value: generatorForWrite },
  })
}

/** The transaction, with a connection whose results go through `look` before Sequelize has them. */
function overConnection(transaction: TransactionInternals, look: (result: DriverResult) => void): object {
  const connection = transaction.connection as { query: DriverQuery }
  const looking = new Proxy(connection, {
    get(target, property) {
      if (property !== 'query') return Reflect.get(target, property)
      return (...args: unknown[]) => {
        const done = args.pop() as DriverCallback
        const seen: DriverCallback = (error, result) => {
          if (!error && result !== undefined) for (const one of [result].flat()) look(one)
          done(error, result)
        }
        return target.query(...args, seen)
      }
    },
  })
  return Object.create(transaction, { connection: { value: looking } })
}
