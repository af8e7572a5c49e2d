-- The tables of schema.prisma. Written so that it may be applied twice.
CREATE TABLE IF NOT EXISTS customers (
  id         text PRIMARY KEY,
  name       text NOT NULL,
  email      text UNIQUE,
  created_at timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  xact_id    text NOT NULL DEFAULT pg_current_xact_id()::text
);

CREATE TABLE IF NOT EXISTS orders (
  id          text PRIMARY KEY,
  customer_id text NOT NULL REFERENCES customers (id),
  status      text NOT NULL DEFAULT 'new',
  total_cents integer NOT NULL DEFAULT 0,
  created_at  timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  xact_id     text NOT NULL DEFAULT pg_current_xact_id()::text
);

CREATE TABLE IF NOT EXISTS order_items (
  id               serial PRIMARY KEY,
  order_id         text NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
  sku              text NOT NULL,
  quantity         integer NOT NULL DEFAULT 1,
  unit_price_cents integer NOT NULL DEFAULT 0,
  xact_id          text NOT NULL DEFAULT pg_current_xact_id()::text
);

CREATE TABLE IF NOT EXISTS profiles (
  id          uuid PRIMARY KEY,
  customer_id text UNIQUE REFERENCES customers (id) ON DELETE SET NULL,
  motto       text NOT NULL DEFAULT 'be "kind" { // }'
);

CREATE TABLE IF NOT EXISTS tags (
  name text PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS "_OrderToTag" (
  "A" text NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
  "B" text NOT NULL REFERENCES tags (name) ON DELETE CASCADE,
  PRIMARY KEY ("A", "B")
);

CREATE TABLE IF NOT EXISTS stock (
  warehouse  integer NOT NULL,
  sku        text NOT NULL,
  quantity   integer NOT NULL DEFAULT 0,
  counted_at timestamptz(6),
  deleted_at timestamptz(6),
  xact_id    text NOT NULL DEFAULT pg_current_xact_id()::text,
  PRIMARY KEY (warehouse, sku)
);

CREATE TABLE IF NOT EXISTS plain_outbox (
  id             uuid PRIMARY KEY,
  aggregate_type text NOT NULL,
  aggregate_id   text NOT NULL,
  event_type     text NOT NULL,
  payload        bytea NOT NULL,
  metadata       jsonb NOT NULL,
  created_at     timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
