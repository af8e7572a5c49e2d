import { defaultsProblems } from '../../src/config.ts'
import { type Emittable, type EmitterOptions, emitWith } from '../../src/emitter.ts'
import { ConfigurationError, UnseenWriteError } from '../../src/errors.ts'
import { type ModelFacts, type ModelFactsReader, type ModelOperation, readModelFacts } from '../models.ts'
import { insideGuard, refuseCommit } from './commit-guard.ts'
import { inTransaction } from './in-transaction.ts'
import type { QueryInterfaceLike, SequelizeInternals, TransactionInternals, WriteOptions } from './model-internals.ts'
import { currentTransaction, openTransaction } from './open-transaction.ts'
import { type SeenWrite, seenWrite, WRITE_METHODS } from './seen-write.ts'
import type { SequelizeLike, SequelizeTransactionLike } from './sequelize-like.ts'
import { beforeSoftDelete, type OperationOf, setsDeletedAt } from './soft-deletes.ts'
import { returningQueryInterface, type WrittenRow } from './written-rows.ts'

/** A row as a mapper has it when its model's class is not named: an instance of that model. */
export interface SequelizeRow {
  readonly [attribute: string]: unknown
  get(attribute: string): unknown
  toJSON(): object
}

/** Which facts the models' changes produce, and settings that come before the defaults of `configure()`. */
export interface InstallOptions<Rows> extends EmitterOptions {
  readonly models: ModelFacts<Rows>
}

interface Installation {
  readonly facts: ModelFactsReader
  readonly settings: EmitterOptions
}

/** What was put in place on a query interface; under a registered symbol, so that copies of the package see each other. */
interface Installed {
  readonly installations: Set<Installation>
  readonly restore: () => void
}

const INSTALLED = Symbol.for('factlib.sequelize.installed')

/**
 * From now on the writes of these models emit their facts by themselves, in the transaction of the write; a write
 * without a transaction gets one of its own. Call it once, after the models are defined. What a mapper is given is a
 * new instance of the model with the values that the database gave back.
 *
 * Every method of a model is seen, with `hooks: false` too, and with associations. `truncate` is refused. Not seen: raw
 * SQL, the query interface used without a model (migrations), `ON DELETE CASCADE` and triggers of the database.
 *
 * @returns a function that takes it off again.
 * @example
 * ```ts
 * installFactlib<{ Order: Order }>(sequelize, {
 *   prefix: 'shop',
 *   models: {
 *     Order: { created: (order) => ({ aggregateType: 'order', aggregateId: order.id, eventType: 'order.created', payload: order }) },
 *   },
 * })
 * await Order.create({ total: 12 })   // row and fact, or neither
 * ```
 * @throws ConfigurationError with every problem, also for a model that is not defined, or has mappers already.
 */
export function installFactlib<Rows extends object = { readonly [model: string]: SequelizeRow }>(
  sequelize: SequelizeLike,
  options: InstallOptions<Rows>,
): () => void {
  const { models, ...settings } = options
  const problems = defaultsProblems(settings)
  const instance = sequelize as SequelizeInternals
  const unfit = unfitInstance(instance)
  if (unfit !== undefined) throw new ConfigurationError([...problems, unfit])
  const facts = readModelFacts(models)
  const queryInterface = instance.getQueryInterface()
  const known = (queryInterface as { readonly [INSTALLED]?: Installed })[INSTALLED]
  for (const model of facts.models) {
    if (instance.models[model] === undefined) {
      const names = Object.keys(instance.models).join(', ') || 'none'
      problems.push(
        `models.${model}: this instance has no such model: define it before installFactlib; there are ${names}`,
      )
    }
    if ([...(known?.installations ?? [])].some((other) => other.facts.maps(model))) {
      problems.push(`models.${model} has mappers already: each of its facts would come twice`)
    }
  }
  if (problems.length > 0) throw new ConfigurationError(problems)
  const installed = known ?? putInPlace(instance, queryInterface)
  const installation: Installation = { facts, settings }
  installed.installations.add(installation)
  return () => {
    if (installed.installations.delete(installation) && installed.installations.size === 0) installed.restore()
  }
}

function unfitInstance(sequelize: SequelizeInternals): string | undefined {
  const { version } = sequelize.constructor as { readonly version?: unknown }
  if (typeof sequelize.getQueryInterface !== 'function' || !String(version ?? '6.').startsWith('6.')) {
    return 'models need Sequelize 6: with Sequelize 7 use emitFact'
  }
  if (sequelize.getDialect() !== 'postgres')
    return `facts need PostgreSQL, this instance is for ${sequelize.getDialect()}`
  return undefined
}

function putInPlace(sequelize: SequelizeInternals, queryInterface: QueryInterfaceLike): Installed {
  const installations = new Set<Installation>()
  const restore = () => {
    for (const key of [...WRITE_METHODS, INSTALLED]) Reflect.deleteProperty(queryInterface, key)
  }
  for (const method of WRITE_METHODS) {
    const original = queryInterface[method]!
    const seen = async (...args: unknown[]): Promise<unknown> => {
      const write = seenWrite(method, args)
      const installation = write && [...installations].find(({ facts }) => mayMakeFacts(facts, write))
      if (write === undefined || installation === undefined) return original.apply(queryInterface, args)
      return writeWithFacts(sequelize, queryInterface, write, installation, (target, options) =>
        original.apply(
          target,
          args.map((argument, index) => (index === write.optionsIndex ? options : argument)),
        ),
      )
    }
    Object.defineProperty(queryInterface, method, { value: seen, configurable: true, writable: true })
  }
  const installed: Installed = { installations, restore }
  Object.defineProperty(queryInterface, INSTALLED, { value: installed, configurable: true })
  return installed
}

function mayMakeFacts(facts: ModelFactsReader, write: SeenWrite): boolean {
  return operationsOf(write).some((operation) => facts.maps(write.model.name, operation))
}

function operationsOf(write: SeenWrite): readonly ModelOperation[] {
  if (write.kind === 'insert') return write.mayUpdate ? ['created', 'updated'] : ['created']
  if (write.kind === 'delete') return ['deleted']
  return setsDeletedAt(write) ? ['updated', 'deleted', 'restored'] : ['updated']
}

type Perform = (target: QueryInterfaceLike, options: WriteOptions) => Promise<unknown>

async function writeWithFacts(
  sequelize: SequelizeInternals,
  queryInterface: QueryInterfaceLike,
  write: SeenWrite,
  installation: Installation,
  perform: Perform,
): Promise<unknown> {
  const { options, model } = write
  if (options.truncate === true) {
    throw new UnseenWriteError(
      `truncate does not say which rows of ${model.name} it deletes, nothing was deleted: use destroy({ where: {} }), or raw SQL to delete them without facts`,
    )
  }
  const run = async (given: SequelizeTransactionLike): Promise<unknown> => {
    // Looked at before the row is written: Sequelize itself would write it into another instance's transaction.
    const transaction = openTransaction(sequelize, given) as TransactionInternals
    const user = given as TransactionInternals
    const rows: WrittenRow[] = []
    const operationOf = setsDeletedAt(write)
      ? await beforeSoftDelete(sequelize, queryInterface.queryGenerator, write, user)
      : plainOperation(write)
    let result: unknown
    let failure: { readonly error: unknown } | undefined
    try {
      const target = returningQueryInterface(queryInterface, sequelize, write, rows)
      result = await perform(target, { ...options, transaction: user })
    } catch (error) {
      // An error after the row was written, of a hook say: whoever catches it may still commit the row.
      failure = { error }
    }
    try {
      const facts = factsOf(installation.facts, write, rows, operationOf)
      await emitWith(inTransaction(sequelize, transaction), facts, installation.settings)
    } catch (error) {
      await refuseCommit(sequelize, user, error)
      throw error
    }
    if (failure !== undefined) throw failure.error
    return result
  }
  const given = (options.transaction === undefined ? currentTransaction(sequelize) : options.transaction) as
    | TransactionInternals
    | null
    | undefined
  if (given) return insideGuard(given, () => run(given))
  const { logging } = options
  return sequelize.transaction(logging === undefined ? {} : { logging }, run)
}

function plainOperation({ kind }: SeenWrite): OperationOf {
  if (kind === 'delete') return () => 'deleted'
  if (kind === 'update') return () => 'updated'
  return ({ inserted }) => (inserted ? 'created' : 'updated')
}

function factsOf(
  facts: ModelFactsReader,
  write: SeenWrite,
  rows: readonly WrittenRow[],
  operationOf: OperationOf,
): Emittable[] {
  const { model, changedFields } = write
  return rows.flatMap((row) => {
    const instance = model.build({ ...row.values }, { raw: true, isNewRecord: false })
    return facts.factsOf(model.name, [instance], { operation: operationOf(row), changedFields })
  })
}
