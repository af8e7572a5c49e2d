import { UnseenWriteError } from '../../src/errors.ts'
import type { ModelFactsReader, ModelOperation } from '../models.ts'
import { type CallArgs, delegateName } from './internals.ts'
import type { SchemaModels, SchemaRelation } from './schema-model.ts'

/**
 * Writes inside the `data` of another model's write. Prisma runs them without telling an extension which rows they
 * touched, so those that would change rows of a model with mappers are refused.
 */

/** What a nested write does to the rows of the other model. */
const CHANGES: Readonly<Record<string, readonly ModelOperation[]>> = {
  create: ['created'],
  createMany: ['created'],
  connectOrCreate: ['created'],
  upsert: ['created', 'updated'],
  update: ['updated'],
  updateMany: ['updated'],
  delete: ['deleted'],
  deleteMany: ['deleted'],
}

/** Nested writes that set the foreign key of a row that is there already. */
const LINKS = new Set(['connect', 'connectOrCreate', 'disconnect', 'set'])
/** The same, where the relation leads to one row: the row that it led to before is let go. */
const LINKS_OF_ONE = new Set([...LINKS, 'create', 'upsert'])

/**
 * @throws UnseenWriteError when `args` of this call write rows of a model whose mappers would not see them.
 */
export function refuseNestedWrites(
  schema: SchemaModels,
  facts: ModelFactsReader,
  model: string,
  operation: string,
  args: CallArgs,
): void {
  for (const data of [args['data'], args['create'], args['update']]) {
    for (const one of Array.isArray(data) ? data : [data]) look(model, one, `${delegateName(model)}.${operation}`)
  }

  function look(of: string, data: unknown, path: string): void {
    if (!isObject(data)) return
    for (const [name, relation] of schema.get(of)?.relations ?? []) {
      const nested = data[name]
      if (!isObject(nested)) continue
      for (const [write, given] of Object.entries(nested)) {
        if (given === undefined || given === false) continue
        refuse(of, name, relation, write, path)
        for (const one of Array.isArray(given) ? given : [given]) {
          if (!isObject(one)) continue
          // { data }, { create, update }, or the fields themselves: what has none of a relation's names is passed by.
          for (const part of [one, one['data'], one['create'], one['update']]) {
            for (const row of Array.isArray(part) ? part : [part]) look(relation.to, row, `${path} → ${name}.${write}`)
          }
        }
      }
    }
  }

  function refuse(of: string, name: string, relation: SchemaRelation, write: string, path: string): void {
    const unseen = (CHANGES[write] ?? []).some((change) => facts.maps(relation.to, change))
    if (unseen) throw nestedError(relation.to, `${path} → ${name}.${write}`)
    if (!(relation.list ? LINKS : LINKS_OF_ONE).has(write)) return
    if (relation.foreignKey === 'there' && facts.maps(relation.to, 'updated')) {
      throw nestedError(relation.to, `${path} → ${name}.${write}`)
    }
    if (relation.mayUnlink && facts.maps(of, 'updated')) {
      throw new UnseenWriteError(
        `${path} → ${name}.${write} may take the link away from another ${of}, whose mapper would not see it. ` +
          `Nothing was written. Set ${relation.fields.join(', ')} itself`,
      )
    }
  }
}

function nestedError(model: string, path: string): UnseenWriteError {
  const own = delegateName(model)
  return new UnseenWriteError(
    `${path} is a nested write on ${model}, whose mappers would not see it. Nothing was written. ` +
      `Write it on its own: prisma.$transaction(async (tx) => { …; await tx.${own}.create(…), .update(…) or .delete(…) })`,
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
