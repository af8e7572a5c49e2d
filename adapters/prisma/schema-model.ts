import { schemaOf, unknownPrisma } from './internals.ts'
import type { UnknownClient } from './types.ts'

/**
 * What `models` has to know of the user's schema. Prisma's client knows fields, types, tables and columns; which side of
 * a relation holds the foreign key, and what the primary key is, only the schema's text says, which the client carries.
 */

/** A model of the schema. */
export interface SchemaModel {
  readonly name: string
  /** Quoted, with its schema where the model names one. */
  readonly table: string
  /** Fields with a column, and their columns' names. */
  readonly columns: ReadonlyMap<string, string>
  /** The fields of the primary key, or else of a unique one without nulls; undefined when there is none that can be used. */
  readonly key: readonly string[] | undefined
  readonly relations: ReadonlyMap<string, SchemaRelation>
}

/** A relation, seen from one model. */
export interface SchemaRelation {
  /** The other model. */
  readonly to: string
  /** Where the foreign key is: `here`, `there`, or in a `table` of its own (implicit many-to-many). */
  readonly foreignKey: 'here' | 'there' | 'table'
  /** Whether it leads to many rows. */
  readonly list: boolean
  /** The fields of the foreign key, when it is here. */
  readonly fields: readonly string[]
  /** Connecting may take the other model's row away from another row of this model, whose foreign key becomes null. */
  readonly mayUnlink: boolean
}

export type SchemaModels = ReadonlyMap<string, SchemaModel>

interface ParsedField {
  readonly name: string
  readonly type: string
  readonly list: boolean
  readonly optional: boolean
  readonly attributes: string
}

interface ParsedModel {
  readonly fields: ReadonlyMap<string, ParsedField>
  readonly blockAttributes: readonly string[]
  readonly schema: string | undefined
}

/** @throws UnseenWriteError when this Prisma does not carry the schema, or its text is not understood. */
export function readSchema(root: UnknownClient): SchemaModels {
  const { text, models } = schemaOf(root)
  const parsed = parseSchema(text)
  const result = new Map<string, SchemaModel>()
  for (const [name, { dbName, fields }] of Object.entries(models)) {
    const own = parsed.get(name)
    if (own === undefined) throw unknownPrisma()
    const columns = new Map<string, string>()
    const relations = new Map<string, SchemaRelation>()
    for (const field of fields) {
      if (field.kind === 'scalar' || field.kind === 'enum') columns.set(field.name, field.dbName ?? field.name)
      if (field.kind !== 'object' || !field.relationName) continue
      const here = own.fields.get(field.name)
      const other = models[field.type]?.fields.find(
        ({ name: otherName, relationName }) =>
          relationName === field.relationName && (field.type !== name || otherName !== field.name),
      )
      // A relation of a model with itself that has one field only: many-to-many with itself.
      const there = other && parsed.get(field.type)?.fields.get(other.name)
      if (here === undefined) throw unknownPrisma()
      relations.set(field.name, relationOf(field.type, here, there, own))
    }
    const enums = new Set(fields.filter(({ kind }) => kind === 'enum').map((field) => field.name))
    const table = [own.schema, dbName ?? name].flatMap((part) => (part === undefined ? [] : quoted(part))).join('.')
    result.set(name, { name, table, columns, key: keyOf(own, columns, enums), relations })
  }
  return result
}

/** A name as PostgreSQL takes it. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function relationOf(to: string, here: ParsedField, there: ParsedField | undefined, own: ParsedModel): SchemaRelation {
  const fields = foreignKeyOf(here)
  if (fields.length > 0) {
    const nullable = fields.some((name) => own.fields.get(name)?.optional ?? true)
    return { to, foreignKey: 'here', list: false, fields, mayUnlink: nullable && there !== undefined && !there.list }
  }
  const isThere = there !== undefined && foreignKeyOf(there).length > 0
  return { to, foreignKey: isThere ? 'there' : 'table', list: here.list, fields: [], mayUnlink: false }
}

function foreignKeyOf({ attributes }: ParsedField): readonly string[] {
  const relation = /@relation\s*\(([^)]*)\)/s.exec(attributes)?.[1] ?? ''
  return names(/\bfields\s*:\s*\[([^\]]*)\]/s.exec(relation)?.[1])
}

function keyOf(
  { fields, blockAttributes }: ParsedModel,
  columns: ReadonlyMap<string, string>,
  enums: ReadonlySet<string>,
): readonly string[] | undefined {
  const all = [...fields.values()]
  const block = (attribute: string): string[][] =>
    blockAttributes
      .filter((line) => new RegExp(`^@@${attribute}\\s*\\(`).test(line))
      .map((line) => names(/\[([^\]]*)\]/s.exec(line)?.[1]))
  const candidates = [
    ...all.filter(({ attributes }) => /@id\b/.test(attributes)).map(({ name }) => [name]),
    ...block('id'),
    ...all.filter(({ attributes }) => /@unique\b/.test(attributes)).map(({ name }) => [name]),
    ...block('unique'),
  ]
  // An enum's name in the client may differ from its name in the database; a null is equal to nothing.
  return candidates.find(
    (candidate) =>
      candidate.length > 0 &&
      candidate.every((name) => columns.has(name) && !enums.has(name) && fields.get(name)?.optional === false),
  )
}

/** `a, b(sort: Desc)` → `['a', 'b']` */
function names(list: string | undefined): string[] {
  return (list ?? '')
    .replace(/\([^)]*\)/g, '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}

/** Fields, block attributes and schema of each model and view in the text of a Prisma schema. */
export function parseSchema(text: string): ReadonlyMap<string, ParsedModel> {
  // Strings are set aside, comments go: what is left has no brace or slash that means something else.
  const strings: string[] = []
  const bare = text.replace(/"(?:\\.|[^"\\\n])*"|\/\/[^\n]*/g, (match) =>
    match.startsWith('"') ? `"${strings.push(match.slice(1, -1)) - 1}"` : '',
  )
  const models = new Map<string, ParsedModel>()
  for (const [, name, body] of bare.matchAll(/^\s*(?:model|view)\s+(\w+)\s*\{([^}]*)\}/gm)) {
    const fields = new Map<string, ParsedField>()
    const blockAttributes: string[] = []
    for (const line of logicalLines(body!)) {
      if (line.startsWith('@@')) blockAttributes.push(line)
      const [, field, type, suffix, attributes = ''] = /^(\w+)\s+(\w+(?:\([^)]*\))?)(\[\]|\?)?(.*)$/s.exec(line) ?? []
      if (field === undefined || type === undefined) continue
      fields.set(field, { name: field, type, list: suffix === '[]', optional: suffix === '?', attributes })
    }
    const schema = blockAttributes.flatMap((line) => /^@@schema\s*\(.*?"(\d+)"/s.exec(line)?.[1] ?? [])[0]
    models.set(name!, { fields, blockAttributes, schema: schema === undefined ? undefined : strings[Number(schema)] })
  }
  return models
}

/** Lines, each with what follows it while its parentheses are open. */
function logicalLines(body: string): string[] {
  const lines: string[] = []
  let open = 0
  for (const line of body.split('\n').map((part) => part.trim())) {
    if (open > 0) lines[lines.length - 1] += ` ${line}`
    else if (line !== '') lines.push(line)
    open += [...line].reduce((sum, sign) => sum + (sign === '(' ? 1 : sign === ')' ? -1 : 0), 0)
  }
  return lines
}
