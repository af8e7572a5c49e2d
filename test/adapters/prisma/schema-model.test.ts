import { describe, expect, it } from 'vitest'
import { type ModelOperation, readModelFacts } from '../../../adapters/models.ts'
import { inTransaction, modelMethod, transactionOf } from '../../../adapters/prisma/internals.ts'
import { lockRows } from '../../../adapters/prisma/locked-rows.ts'
import { refuseNestedWrites } from '../../../adapters/prisma/nested-writes.ts'
import { readSchema } from '../../../adapters/prisma/schema-model.ts'
import type { SendingClient } from '../../../adapters/prisma/transaction-client.ts'
import { UnseenWriteError } from '../../../src/errors.ts'

const TEXT = `
/// A "lone quote, and model Nothing { }
model Account {
  id      String   @id @default("} // {")
  kind    Kind     @unique
  email   String?  @unique // model Other {
  ownerId Int? // } is no end
  owner   Person?  @relation("own",
    fields: [ownerId],
    references: [id])
  parent  Account? @relation("tree", fields: [email], references: [id])
  child   Account? @relation("tree")
  friends Account[] @relation("friends")
  tags    Tag[]
  @@map("the \\"accounts\\"")
  @@schema("billing")
}
model Person {
  id      Int      @id
  account Account[] @relation("own")
  passport Passport? @relation("pass")
}
model Passport {
  shape    Unsupported("point") @id
  number   Int    @unique
  holderId Int    @unique
  holder   Person @relation("pass", fields: [holderId], references: [id])
}
model Tag {
  kind     Kind      @id
  accounts Account[]
}
model Pair {
  a Int
  b String
  c String?
  @@unique([c, a])
  @@unique(fields: [a, b(sort: Desc)], map: "x")
}
enum Kind { A B }
`

const scalar = (name: string, dbName?: string) => ({ name, kind: 'scalar', type: 'String', dbName: dbName ?? null })
const relation = (name: string, type: string, relationName: string) => ({ name, kind: 'object', type, relationName })
const MODELS = {
  Account: {
    dbName: 'the "accounts"',
    fields: [
      scalar('id'),
      { name: 'kind', kind: 'enum', type: 'Kind' },
      scalar('email', 'e_mail'),
      scalar('ownerId'),
      relation('owner', 'Person', 'own'),
      relation('parent', 'Account', 'tree'),
      relation('child', 'Account', 'tree'),
      relation('friends', 'Account', 'friends'),
      relation('tags', 'Tag', 'AccountToTag'),
    ],
  },
  Person: {
    dbName: null,
    fields: [scalar('id'), relation('account', 'Account', 'own'), relation('passport', 'Passport', 'pass')],
  },
  Passport: {
    fields: [
      { name: 'shape', kind: 'unsupported', type: 'point' },
      scalar('number'),
      scalar('holderId'),
      relation('holder', 'Person', 'pass'),
    ],
  },
  Tag: { fields: [{ name: 'kind', kind: 'enum', type: 'Kind' }, relation('accounts', 'Account', 'AccountToTag')] },
  Pair: { fields: [scalar('a'), scalar('b'), scalar('c')] },
}

const client = (text: unknown, models: object | undefined = MODELS) =>
  ({ _engineConfig: { inlineSchema: text }, _runtimeDataModel: { models } }) as unknown as SendingClient

describe('the schema that a client carries', () => {
  const schema = readSchema(client(TEXT))
  const account = schema.get('Account')!

  it('gives tables, columns and keys', () => {
    expect(account.table).toBe('"billing"."the ""accounts"""')
    expect([...account.columns]).toEqual([
      ['id', 'id'],
      ['kind', 'kind'],
      ['email', 'e_mail'],
      ['ownerId', 'ownerId'],
    ])
    expect(account.key).toEqual(['id'])
    // An enum's names may differ in the database; a null is equal to nothing.
    expect(schema.get('Tag')?.key).toBeUndefined()
    expect(schema.get('Pair')?.key).toEqual(['a', 'b'])
    // Nor can the client give what it has no type for.
    expect(schema.get('Passport')?.key).toEqual(['number'])
  })

  it('says which side of a relation holds the foreign key', () => {
    const sides = (model: string) =>
      Object.fromEntries([...schema.get(model)!.relations].map(([name, { foreignKey }]) => [name, foreignKey]))
    expect(sides('Account')).toEqual({ owner: 'here', parent: 'here', child: 'there', friends: 'table', tags: 'table' })
    expect(sides('Person')).toEqual({ account: 'there', passport: 'there' })
    // It cannot become null: another row is never let go in silence.
    expect(schema.get('Passport')?.relations.get('holder')).toMatchObject({ foreignKey: 'here', mayUnlink: false })
    expect(account.relations.get('owner')).toMatchObject({ fields: ['ownerId'], mayUnlink: false })
    expect(account.relations.get('parent')).toMatchObject({ fields: ['email'], mayUnlink: true })
  })

  it('refuses nested writes that move another row’s foreign key', () => {
    const facts = readModelFacts({ Account: { updated: () => undefined } })
    const refuse = (model: string, data: object) => () => refuseNestedWrites(schema, facts, model, 'update', { data })
    for (const write of ['connect', 'disconnect', 'set']) {
      expect(refuse('Person', { account: { [write]: { id: '1' } } })).toThrow(/person\.update → account/)
    }
    expect(refuse('Person', { account: { create: { id: '1' } } })).not.toThrow()
    expect(refuse('Account', { owner: { connect: { id: 1 } } })).not.toThrow()
    expect(refuse('Account', { tags: { set: [] }, friends: { connect: { id: '2' } } })).not.toThrow()
    expect(refuse('Account', { child: { create: { id: '2' } } })).toThrow(UnseenWriteError)
    expect(refuse('Account', { parent: { connect: { id: '2' } } })).toThrow(/Set email itself/)
    expect(refuse('Person', { account: { disconnect: false, set: undefined } })).not.toThrow()
  })

  it.each([
    ['created', ['create', 'createMany', 'connectOrCreate', 'upsert']],
    ['updated', ['upsert', 'update', 'updateMany', 'connect', 'connectOrCreate', 'disconnect', 'set']],
    ['deleted', ['delete', 'deleteMany']],
  ] as const satisfies [ModelOperation, string[]][])(
    'refuses the nested writes that a mapper for %s would not see, and no others',
    (operation, refused) => {
      const facts = readModelFacts({ Account: { [operation]: () => undefined } })
      const all = ['create', 'createMany', 'connectOrCreate', 'upsert', 'update', 'updateMany']
      const thrown = [...all, 'connect', 'disconnect', 'set', 'delete', 'deleteMany'].filter((write) => {
        try {
          refuseNestedWrites(schema, facts, 'Person', 'update', { data: { account: { [write]: {} } } })
          return false
        } catch {
          return true
        }
      })
      expect(thrown.sort()).toEqual([...refused].sort())
    },
  )

  it('looks into each row of an array, and each part of an upsert', () => {
    const facts = readModelFacts({ Account: { created: () => undefined } })
    const nested = { account: { create: {} } }
    for (const args of [
      { data: [{ id: 1 }, nested] },
      { create: nested, update: {} },
      { create: {}, update: nested },
      { data: { passport: { upsert: { create: { holder: { create: nested } }, update: {} } } } },
      { data: { passport: { upsert: { create: {}, update: { holder: { update: { data: nested } } } } } } },
    ]) {
      expect(() => refuseNestedWrites(schema, facts, 'Person', 'x', args)).toThrow(/nested write on Account/)
    }
  })

  it.each([
    ['no text', client(undefined)],
    ['no models', client(TEXT, undefined)],
    ['a model that is not in the text', client('model Other {\n}')],
    ['a field that is not in the text', client(TEXT.replace('owner   Person?', 'boss    Person?'))],
  ])('of a client that is different it says so: %s', (what, given) => {
    const strange =
      what === 'no models' ? ({ _engineConfig: { inlineSchema: TEXT } } as unknown as SendingClient) : given
    expect(() => readSchema(strange)).toThrow(/does not know this version of Prisma/)
  })

  it('a transaction’s client that is different is refused', async () => {
    const strange = [
      {},
      { _createPrismaPromise: async () => undefined },
      { _createPrismaPromise: async () => ({ kind: 'itx' }) },
      { _createPrismaPromise: async () => ({ kind: 'other', id: '1' }) },
    ]
    for (const tx of strange) await expect(transactionOf(tx as SendingClient)).rejects.toThrow(UnseenWriteError)
  })

  it('a promise or a model’s method that is not Prisma’s is refused', () => {
    const transaction = { kind: 'itx', id: '1' }
    expect(() => inTransaction(Promise.resolve(1), transaction)).toThrow(UnseenWriteError)
    const strange = { order: {} } as unknown as SendingClient
    expect(() => modelMethod(strange, transaction, 'Order', 'findMany')).toThrow(UnseenWriteError)
  })

  it('deleteMany of a model without a key is refused before anything is asked', async () => {
    const nobody = {} as SendingClient
    const refused = lockRows(nobody, nobody, { kind: 'itx', id: '1' }, schema.get('Tag')!, {})
    await expect(refused).rejects.toThrow(/deleteMany on Tag .*no @id or @unique/)
  })
})
