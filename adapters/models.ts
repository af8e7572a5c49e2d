import type { Emittable } from '../src/emitter.ts'
import { ConfigurationError, InvalidFactError } from '../src/errors.ts'
import { isFact } from '../src/fact.ts'

/**
 * `models`: which facts the changes of a model's rows produce, declared once. The shape, its checks and the call of the
 * user's mappers, for the adapters whose ORM can be watched (Prisma, Sequelize); how rows are seen is theirs.
 */

/** What happened to a row. `restored`: a soft delete taken back, for ORMs that know soft deletes themselves. */
export type ModelOperation = 'created' | 'updated' | 'deleted' | 'restored'

/** What a mapper is told beside the row. */
export interface ModelChange<
  Field extends string = string,
  Operation extends ModelOperation = ModelOperation,
  Model extends string = string,
> {
  readonly operation: Operation
  /** The model's name, as it is written in `models`. */
  readonly model: Model
  /** The fields that the write has set, of an update; undefined where the ORM does not know them, and for other operations. */
  readonly changedFields?: readonly Field[] | undefined
}

/** What a mapper gives: a fact, several, or nothing. */
export type MappedFacts = Emittable | readonly Emittable[] | undefined

/**
 * Makes the facts of one row. It must be synchronous and do nothing else: it may run again when a transaction is tried
 * again. What it throws fails the write, and the transaction with it.
 */
export type ModelMapper<Row, Operation extends ModelOperation = ModelOperation, Model extends string = string> = (
  row: Row,
  change: ModelChange<keyof Row & string, Operation, Model>,
) => MappedFacts

/** The mappers of one model; an operation without one of its own goes to `on`, or else makes no fact. */
export interface ModelMappers<Row, Model extends string = string> {
  readonly created?: ModelMapper<Row, 'created', Model> | undefined
  readonly updated?: ModelMapper<Row, 'updated', Model> | undefined
  readonly deleted?: ModelMapper<Row, 'deleted', Model> | undefined
  readonly restored?: ModelMapper<Row, 'restored', Model> | undefined
  /** For every operation that has no mapper of its own. */
  readonly on?: ModelMapper<Row, ModelOperation, Model> | undefined
}

/** `models` of an adapter: a model's name → its mappers. `Rows`: a model's name → the type of its rows. */
export type ModelFacts<Rows> = {
  readonly [Model in keyof Rows]?: ModelMappers<Rows[Model], NameIn<Rows, Model>> | undefined
}

/** `string` where `Rows` names no models: a mapper that was typed for one name would not be one for all of them. */
type NameIn<Rows, Model> = string extends keyof Rows ? string : Model & string

/** A change that the adapter has seen. */
export interface SeenChange {
  readonly operation: ModelOperation
  readonly changedFields?: readonly string[] | undefined
}

/** The checked `models` of one adapter. */
export interface ModelFactsReader {
  /** The models that have a mapper. */
  readonly models: readonly string[]
  /** Whether a change of this kind can make facts; without `operation`, whether any can. */
  maps(model: string, operation?: ModelOperation): boolean
  /**
   * The facts of these rows, in their order; the mappers are called now.
   * @throws InvalidFactError when a mapper gives a promise or something that is no fact; what a mapper throws.
   */
  factsOf(model: string, rows: readonly object[], change: SeenChange): Emittable[]
}

const OPERATIONS: readonly ModelOperation[] = ['created', 'updated', 'deleted', 'restored']

type AnyMapper = (row: unknown, change: ModelChange) => unknown

/**
 * Checks the user's `models`, and copies them: what is changed later changes nothing. `operations`: those that the
 * adapter's ORM can tell; a mapper for another one is refused, because it would never be called.
 *
 * @example
 * ```ts
 * const facts = readModelFacts({ Order: { created: (order) => ({ … }) } }, ['created', 'updated', 'deleted'])
 * facts.factsOf('Order', [row], { operation: 'created' })
 * ```
 * @throws ConfigurationError that lists every problem.
 */
export function readModelFacts(models: unknown, operations: readonly ModelOperation[] = OPERATIONS): ModelFactsReader {
  const problems: string[] = []
  const mappers = new Map<string, Map<string, AnyMapper>>()
  if (typeof models !== 'object' || models === null || Array.isArray(models)) {
    throw new ConfigurationError(['models must be an object: a model name, and for it created, updated, deleted or on'])
  }
  for (const [model, given] of Object.entries(models)) {
    if (given === undefined) continue
    if (typeof given !== 'object' || given === null) {
      problems.push(`models.${model} must be an object with mappers`)
      continue
    }
    const own = new Map<string, AnyMapper>()
    for (const [name, mapper] of Object.entries(given)) {
      if (mapper === undefined) continue
      if (name !== 'on' && !OPERATIONS.includes(name as ModelOperation)) {
        problems.push(`models.${model}.${name} is unknown: use ${[...operations, 'on'].join(', ')}`)
      } else if (name !== 'on' && !operations.includes(name as ModelOperation)) {
        problems.push(`models.${model}.${name} would never be called: this ORM does not tell it, use updated`)
      } else if (typeof mapper !== 'function') {
        problems.push(`models.${model}.${name} must be a function (row, change) => fact, facts or undefined`)
      } else {
        own.set(name, mapper as AnyMapper)
      }
    }
    if (own.size > 0) mappers.set(model, own)
  }
  if (problems.length > 0) throw new ConfigurationError(problems)

  const mapperOf = (model: string, operation: ModelOperation): AnyMapper | undefined => {
    const own = mappers.get(model)
    return own?.get(operation) ?? (operations.includes(operation) ? own?.get('on') : undefined)
  }
  return {
    models: [...mappers.keys()],
    maps: (model, operation) =>
      operation === undefined ? mappers.has(model) : mapperOf(model, operation) !== undefined,
    factsOf(model, rows, { operation, changedFields }) {
      const mapper = mapperOf(model, operation)
      if (mapper === undefined) return []
      const change: ModelChange = {
        operation,
        model,
        changedFields: operation === 'updated' ? changedFields : undefined,
      }
      return rows.flatMap((row) => checked(mapper(row, change), `models.${model}, ${operation}`))
    },
  }
}

/** What a mapper gave, as a list. Whether the facts are valid is the emission's to say; here only that they are facts at all. */
function checked(given: unknown, where: string): Emittable[] {
  if (given === undefined) return []
  const list: readonly unknown[] = Array.isArray(given) ? given : [given]
  for (const one of list) {
    if (isFact(one)) continue
    if (typeof one !== 'object' || one === null) {
      throw new InvalidFactError([`${where}: the mapper must give a fact, an array of facts, or undefined`])
    }
    if (typeof (one as { then?: unknown }).then === 'function') {
      // Its rejection is not left to nobody: the error that is thrown here is the one to see.
      Promise.resolve(one).catch(() => undefined)
      throw new InvalidFactError([`${where}: the mapper gave a promise; it must be synchronous`])
    }
  }
  return list as Emittable[]
}
