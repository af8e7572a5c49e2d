import type { SqlExecutor } from '../../src/executor.ts'
import type { Statement } from '../../src/statements.ts'
import { refuseFinished } from './open-transaction.ts'
import { quietLogging } from './quiet-logging.ts'
import type { SequelizeLike, SequelizeTransactionLike } from './sequelize-like.ts'

/** Runs statements on the connection of this transaction (which `openTransaction` has looked at), or not at all. */
export function inTransaction(sequelize: SequelizeLike, transaction: SequelizeTransactionLike): SqlExecutor {
  return {
    async execute(statement) {
      try {
        await sequelize.query(statement.text, queryOptions(sequelize, transaction, statement))
      } catch (error) {
        if (!fromDatabase(error)) refuseFinished(transaction)
        throw withoutParameters(error)
      }
    },
  }
}

function queryOptions(sequelize: SequelizeLike, transaction: SequelizeTransactionLike, statement: Statement): object {
  return {
    transaction,
    // Not `replacements`: they know no bytes, and would be put into the text.
    bind: [...statement.values],
    // The instance's `query` defaults may name a type that Sequelize reads other things into.
    type: 'SELECT',
    // `prependSearchPath` would make two statements of it, which PostgreSQL refuses when there are parameters.
    supportsSearchPath: false,
    // Once: the instance's `retry` would write the fact twice when a hook fails after it was written.
    retry: { max: 1 },
    logging: quietLogging(sequelize, statement.text),
  }
}

function fromDatabase(error: unknown): boolean {
  // Of its own errors Sequelize 7 has no `original`; all that come from a statement have its parameters.
  return typeof error === 'object' && error !== null && ('original' in error || 'parameters' in error)
}

/** Sequelize puts the parameters, and so the payload, on its error and on the driver's, where a logger would print them. */
function withoutParameters(error: unknown): unknown {
  for (let current = error, depth = 0; typeof current === 'object' && current !== null && depth < 3; depth++) {
    const wrapper = current as { parameters?: unknown; original?: unknown; parent?: unknown; cause?: unknown }
    delete wrapper.parameters
    current = wrapper.cause ?? wrapper.original ?? wrapper.parent
  }
  return error
}
