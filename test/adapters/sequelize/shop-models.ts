import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type Options,
  type Sequelize,
} from 'sequelize'
import { installFactlib } from '../../../adapters/sequelize/index.ts'
import type { FactInput } from '../../../src/fact.ts'
import type { TestDatabase } from '../../support/database.ts'
import { openSequelize } from './sequelize-under-test.ts'

/** Paranoid, with columns of another name, a version, a virtual attribute, and its transaction's id. */
export class Order extends Model<InferAttributes<Order>, InferCreationAttributes<Order>> {
  declare id: CreationOptional<number>
  declare code: string
  declare totalCents: CreationOptional<number>
  declare shopperId: CreationOptional<number | null>
  declare deletedAt: CreationOptional<Date | null>
  declare euros: CreationOptional<number>
}

/** Neither paranoid nor with timestamps. */
export class Shopper extends Model<InferAttributes<Shopper>, InferCreationAttributes<Shopper>> {
  declare id: CreationOptional<number>
  declare name: string
  declare visits: CreationOptional<number>
}

export class Tag extends Model<InferAttributes<Tag>, InferCreationAttributes<Tag>> {
  declare name: string
}

export class OrderTag extends Model<InferAttributes<OrderTag>> {
  declare orderId: number
  declare tagName: string
}

const TABLES = `
  CREATE TABLE shoppers (id serial PRIMARY KEY, name text UNIQUE, visits integer NOT NULL DEFAULT 0,
    xact_id xid8 NOT NULL DEFAULT pg_current_xact_id());
  CREATE TABLE orders (id serial PRIMARY KEY, order_code text NOT NULL UNIQUE, total_cents integer NOT NULL DEFAULT 0,
    shopper_id integer REFERENCES shoppers ON DELETE CASCADE, deleted_at timestamptz,
    xact_id xid8 NOT NULL DEFAULT pg_current_xact_id(), CHECK (total_cents <> 13));
  CREATE TABLE tags (name text PRIMARY KEY);
  CREATE TABLE order_tags (order_id integer REFERENCES orders, tag_name text REFERENCES tags, PRIMARY KEY (order_id, tag_name));
`

export async function createShopTables(database: TestDatabase): Promise<void> {
  await database.query(TABLES)
}

/** An instance with the four models; a new one each time, since a model class belongs to one instance. */
export function openShop(url: string, options: Options = {}) {
  const sequelize = openSequelize(url, options)
  const models = defineModels(sequelize)
  return { sequelize, ...models }
}

export type Shop = ReturnType<typeof openShop>

function defineModels(sequelize: Sequelize) {
  class ShopOrder extends Order {}
  class ShopShopper extends Shopper {}
  class ShopTag extends Tag {}
  class ShopOrderTag extends OrderTag {}
  ShopShopper.init(
    {
      id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
      name: { type: DataTypes.TEXT, unique: true },
      visits: { type: DataTypes.INTEGER, defaultValue: 0 },
    },
    { sequelize, modelName: 'Shopper', tableName: 'shoppers', timestamps: false },
  )
  ShopOrder.init(
    {
      id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
      code: { type: DataTypes.TEXT, field: 'order_code', unique: true, validate: { notEmpty: true } },
      totalCents: { type: DataTypes.INTEGER, field: 'total_cents', defaultValue: 0 },
      shopperId: { type: DataTypes.INTEGER, field: 'shopper_id' },
      deletedAt: { type: DataTypes.DATE, field: 'deleted_at' },
      euros: {
        type: DataTypes.VIRTUAL,
        get() {
          return this.getDataValue('totalCents') / 100
        },
      },
    },
    {
      sequelize,
      modelName: 'Order',
      tableName: 'orders',
      paranoid: true,
      createdAt: false,
      updatedAt: false,
      scopes: { large: { where: { totalCents: 1000 } } },
    },
  )
  ShopTag.init(
    { name: { type: DataTypes.TEXT, primaryKey: true } },
    { sequelize, modelName: 'Tag', tableName: 'tags', timestamps: false },
  )
  ShopOrderTag.init(
    {
      orderId: { type: DataTypes.INTEGER, primaryKey: true, field: 'order_id' },
      tagName: { type: DataTypes.TEXT, primaryKey: true, field: 'tag_name' },
    },
    { sequelize, modelName: 'OrderTag', tableName: 'order_tags', timestamps: false },
  )
  ShopShopper.hasMany(ShopOrder, { as: 'orders', foreignKey: 'shopperId' })
  ShopOrder.belongsTo(ShopShopper, { as: 'shopper', foreignKey: 'shopperId' })
  ShopOrder.belongsToMany(ShopTag, { as: 'tags', through: ShopOrderTag, foreignKey: 'orderId', otherKey: 'tagName' })
  ShopTag.belongsToMany(ShopOrder, { as: 'orders', through: ShopOrderTag, foreignKey: 'tagName', otherKey: 'orderId' })
  return { Order: ShopOrder, Shopper: ShopShopper, Tag: ShopTag, OrderTag: ShopOrderTag }
}

interface Rows {
  Order: Order
  Shopper: Shopper
  OrderTag: OrderTag
}

/** What mappers here do: each change one fact, with the row as payload. */
export function installOnShop({ sequelize }: Shop): () => void {
  const fact = (
    aggregateType: string,
    aggregateId: string | number,
    operation: string,
    payload: object,
  ): FactInput => ({
    aggregateType,
    aggregateId,
    eventType: `${aggregateType}.${operation}`,
    payload,
  })
  return installFactlib<Rows>(sequelize, {
    prefix: 'shop',
    models: {
      Order: {
        on: (order, { operation, changedFields }) => {
          if (order.totalCents === 666) throw new MapperError('the mapper refuses')
          if (order.totalCents === 667) return { aggregateType: 'order' } as FactInput
          return {
            ...fact('order', order.id, operation, order),
            metadata: { changed: changedFields?.join(',') ?? '-' },
          }
        },
      },
      Shopper: { on: (shopper, { operation }) => fact('shopper', shopper.id, operation, shopper) },
      OrderTag: {
        on: (row, { operation }) => fact('order-tag', `${row.orderId}/${row.tagName}`, operation, row),
      },
    },
  })
}

export class MapperError extends Error {}
