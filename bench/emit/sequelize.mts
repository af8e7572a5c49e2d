// What emitting a fact costs with Sequelize, against Sequelize's own insert into an outbox table.
//   npx tsx bench/emit/sequelize.mts [--write]
import { DataTypes, Sequelize } from 'sequelize'
import { createEmitter } from '../../adapters/sequelize/index.ts'
import { benchEmit } from './harness.mts'

const TRANSACTIONS = 50
const { emitFact } = createEmitter({ prefix: 'bench' })

await benchEmit(async (url, measure) => {
  const sequelize = new Sequelize(url, { dialect: 'postgres', logging: false })
  const Outbox = sequelize.define(
    'outbox',
    {
      id: { type: DataTypes.UUID, primaryKey: true },
      aggregateType: { type: DataTypes.TEXT, field: 'aggregate_type' },
      aggregateId: { type: DataTypes.TEXT, field: 'aggregate_id' },
      eventType: { type: DataTypes.TEXT, field: 'event_type' },
      payload: DataTypes.BLOB,
      metadata: DataTypes.JSONB,
    },
    { tableName: 'plain_outbox', timestamps: false },
  )
  for (let i = 0; i < TRANSACTIONS; i++) {
    await sequelize.transaction(async (transaction) => {
      await measure({
        name: `Sequelize ${(Sequelize as unknown as { version: string }).version}`,
        emitOne: (fact) => emitFact(sequelize, fact, { transaction }),
        insertOne: (row) => Outbox.create({ ...row, payload: Buffer.from(row.payload) }, { transaction }),
        emitTen: (facts) => emitFact(sequelize, facts, { transaction }),
      })
    })
  }
  await sequelize.close()
})
