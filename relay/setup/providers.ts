import pg from 'pg'

// What each place where PostgreSQL runs wants beside the SQL: words for the operator, and how its role gets the right
// to replicate. Sources: docs/operations.md, "Providers".

export const PROVIDERS = ['rds', 'aurora', 'cloudsql', 'azure', 'supabase', 'neon', 'heroku', 'self'] as const
export type ProviderName = (typeof PROVIDERS)[number]

export interface Provider {
  readonly title: string
  /** To be done outside of SQL, before it. */
  readonly before: readonly string[]
  /** What differs afterwards. */
  readonly notes: readonly string[]
  /** Gives a role the right to replicate. */
  readonly grantReplication: (role: string) => string
  /** Logical replication cannot be had here. */
  readonly impossible?: string
}

const alterRole = (role: string) => `ALTER ROLE ${pg.escapeIdentifier(role)} WITH REPLICATION`
const rdsGrant = (role: string) => `GRANT rds_replication TO ${pg.escapeIdentifier(role)}`

export const PROVIDER: Readonly<Record<ProviderName, Provider>> = {
  self: {
    title: 'PostgreSQL of your own',
    before: [
      "ALTER SYSTEM SET wal_level = 'logical', then restart PostgreSQL (a reload does not do)",
      'max_replication_slots and max_wal_senders: at least one more than are in use (both need a restart)',
      'pg_hba.conf: a line for the role and its database, such as `hostssl shop factlib_relay 10.0.0.0/8 scram-sha-256`; logical replication uses the line of the database, not `replication`',
      'max_slot_wal_keep_size: how much WAL a relay that is down may hold; -1 lets it fill the disk',
    ],
    notes: ['With standbys (PostgreSQL 17+): SLOT_FAILOVER=true here, sync_replication_slots = on there.'],
    grantReplication: alterRole,
  },
  rds: {
    title: 'Amazon RDS for PostgreSQL',
    before: [
      'a custom DB parameter group (the default one cannot be changed) with rds.logical_replication = 1; it is static: reboot the instance. It sets wal_level to logical',
      'in the same group: max_slot_wal_keep_size, max_replication_slots, max_wal_senders',
      'connect to the instance itself, not to RDS Proxy, which cannot do replication',
    ],
    notes: [
      'No role is superuser: the right to replicate is the membership in rds_replication, granted by a member of rds_superuser.',
      'A slot stays on the instance over a Multi-AZ failover; a read replica that is promoted does not have it (PostgreSQL 17+: SLOT_FAILOVER=true and sync_replication_slots).',
      'A major version upgrade wants all slots dropped first: see docs/operations.md.',
    ],
    grantReplication: rdsGrant,
  },
  aurora: {
    title: 'Amazon Aurora PostgreSQL',
    before: [
      'a custom DB CLUSTER parameter group with rds.logical_replication = 1; it is static: reboot the writer. It sets wal_level to logical',
      'connect to the cluster (writer) endpoint, not to a reader and not to RDS Proxy',
    ],
    notes: [
      'No role is superuser: the right to replicate is the membership in rds_replication, granted by a member of rds_superuser.',
      'Slots are kept with the cluster volume and survive a failover of the writer.',
    ],
    grantReplication: rdsGrant,
  },
  cloudsql: {
    title: 'Google Cloud SQL for PostgreSQL',
    before: [
      'gcloud sql instances patch INSTANCE --database-flags=cloudsql.logical_decoding=on (restarts the instance; name ALL flags of the instance: the list is replaced)',
      'connect to the primary, over its private address or the Cloud SQL Auth Proxy',
    ],
    notes: ['ALTER ROLE … WITH REPLICATION is run by a member of cloudsqlsuperuser, such as the user postgres.'],
    grantReplication: alterRole,
  },
  azure: {
    title: 'Azure Database for PostgreSQL, flexible server',
    before: [
      'az postgres flexible-server parameter set --resource-group GROUP --server-name SERVER --name wal_level --value logical, then restart the server',
      'connect to port 5432; port 6432 is the built-in PgBouncer, which cannot do replication',
    ],
    notes: [
      'The administrator may give the right to replicate to others: ALTER ROLE … WITH REPLICATION.',
      'Over a high-availability failover a slot is kept only where slot synchronisation is on (PostgreSQL 17+, SLOT_FAILOVER=true; older: the extension pg_failover_slots).',
    ],
    grantReplication: alterRole,
  },
  supabase: {
    title: 'Supabase',
    before: [
      'nothing to switch on: wal_level is logical already',
      'take the direct connection, db.<project>.supabase.co:5432; *.pooler.supabase.com (ports 5432 and 6543) cannot do replication',
      'the direct connection is IPv6 only, unless the project has the IPv4 add-on',
      'max_slot_wal_keep_size is set there: `supabase postgres-config get` shows it',
    ],
    notes: ['The user postgres may replicate and may give that right to a role of its own.'],
    grantReplication: alterRole,
  },
  neon: {
    title: 'Neon',
    before: [
      'project settings, "Logical replication": enable (restarts all computes; cannot be taken back). It sets wal_level to logical',
      'take the host without "-pooler" in it',
    ],
    notes: [
      'Roles made in the console, the CLI or the API may replicate; of a role made in SQL, ALTER ROLE … WITH REPLICATION is run by such a one.',
      'Neon removes a slot that is inactive (about 40 hours) while another one is active: a relay must not stay down for longer, and the facts in between would be lost.',
      'A connected relay keeps the compute from scaling to zero. Restoring a branch removes its slots.',
    ],
    grantReplication: alterRole,
  },
  heroku: {
    title: 'Heroku Postgres',
    before: [],
    notes: [],
    grantReplication: alterRole,
    impossible:
      'Heroku Postgres gives no role the right to replicate, so that no relay can read its WAL. Move the database to a provider that does.',
  },
}

export function isProvider(name: string): name is ProviderName {
  return (PROVIDERS as readonly string[]).includes(name)
}
