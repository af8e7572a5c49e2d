import pg from 'pg'
import type { DoctorNames, Finding, Outcome, PostgresFacts, RoleFacts, ServerFacts } from './facts.ts'

/** The server and our way to it; whoever cannot connect learns nothing else. */
export function checkPostgres(facts: PostgresFacts, names: DoctorNames): Finding[] {
  const findings: Finding[] = []
  const add = (finding: Omit<Finding, 'area'>) => findings.push({ area: 'postgres', ...finding })
  if (!facts.connect.ok) {
    add(connectFinding(facts.connect, names))
    return findings
  }
  const { server, role, replication } = facts
  if (server) findings.push(...checkServer(server, names))
  if (role) findings.push(...checkRole(role, names))
  if (replication) add(replicationFinding(replication, facts, names))
  return findings
}

type Failed = Extract<Outcome, { ok: false }>

function connectFinding({ code, message }: Failed, names: DoctorNames): Omit<Finding, 'area'> {
  const why = 'The relay retries for ever; facts wait in the slot, and PostgreSQL keeps WAL for them.'
  const finding = (id: string, what: string, remedy: string) => ({
    code: id,
    level: 'problem' as const,
    what,
    why,
    remedy,
  })
  const { role, database, host, port } = names
  if (code === '28P01')
    return finding(
      'POSTGRES_PASSWORD',
      `PostgreSQL refuses the password of role "${role}": ${message}`,
      `Mend the password in MASTER_DATABASE_URL (percent-encode special characters), or set it: psql -c '\\password ${role}'; or the role does not exist yet: ADMIN_DATABASE_URL=… factlib-relay setup makes it`,
    )
  if (code.startsWith('28'))
    return finding(
      'POSTGRES_REFUSED',
      `PostgreSQL does not let role "${role}" in: ${message}`,
      `Add a line to pg_hba.conf, such as \`hostssl ${database} ${role} <address of the relay>/32 scram-sha-256\`, then SELECT pg_reload_conf(); does the role exist and may it log in? (factlib-relay setup)`,
    )
  if (code === '3D000')
    return finding('DATABASE_MISSING', `database "${database}" does not exist`, 'Mend its name in MASTER_DATABASE_URL.')
  if (code === '53300')
    return finding(
      'POSTGRES_FULL',
      `PostgreSQL takes no more connections: ${message}`,
      'Raise max_connections (needs a restart), or find who holds them: SELECT usename, application_name, count(*) FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC',
    )
  if (/self.signed|certificate|UNABLE_TO|CERT_|ERR_TLS/i.test(`${code} ${message}`))
    return finding(
      'POSTGRES_TLS',
      `the certificate of PostgreSQL is not accepted: ${message}`,
      "Name its authority: sslrootcert=/path/ca.pem in MASTER_DATABASE_URL; with sslmode=verify-full the host's name must be in it.",
    )
  if (/does not support SSL/i.test(message))
    return finding(
      'POSTGRES_TLS',
      `${host}:${port} speaks no TLS: ${message}`,
      'Switch it on there (ssl = on), or, on a network of your own, take sslmode=prefer.',
    )
  return finding(
    'POSTGRES_UNREACHABLE',
    `PostgreSQL at ${host}:${port} does not answer: ${message}`,
    `Is it running, and is the way open? pg_isready -h ${host} -p ${port}`,
  )
}

function poolerFinding({ host, port }: DoctorNames): Omit<Finding, 'area'> {
  return {
    code: 'POOLER',
    level: 'problem',
    what: `${host}:${port} is a connection pooler, which cannot do replication`,
    why: 'The relay ends with exit code 12.',
    remedy:
      'Put the direct address of PostgreSQL into MASTER_DATABASE_URL (usually port 5432; Neon: without "-pooler"; Supabase: db.<project>.supabase.co).',
  }
}

function checkServer(server: ServerFacts, names: DoctorNames): Finding[] {
  const findings: Finding[] = []
  const add = (finding: Omit<Finding, 'area'>) => findings.push({ area: 'postgres', ...finding })
  const major = Math.floor(server.version / 10_000)
  if (major < 14)
    add({
      code: 'SERVER_TOO_OLD',
      level: 'problem',
      what: `the server is PostgreSQL ${major}`,
      why: 'Before 14 PostgreSQL streams no messages: the relay ends with exit code 12.',
      remedy: 'Upgrade to PostgreSQL 14 or newer.',
    })
  else add({ code: 'SERVER_VERSION', level: 'ok', what: `PostgreSQL ${major} answers as role "${names.role}"` })
  if (server.isStandby)
    add({
      code: 'SERVER_IN_RECOVERY',
      level: 'problem',
      what: 'this server is a standby',
      why: 'It takes no facts, and slots of the relay belong on the primary.',
      remedy: 'Give the address of the primary, or all hosts (host1,host2): the relay finds the one that takes writes.',
    })
  if (server.walLevel !== 'logical')
    add({
      code: 'WAL_LEVEL',
      level: 'problem',
      what: `wal_level is "${server.walLevel}"`,
      why: 'Emitting succeeds and every fact is lost; the relay ends with exit code 12.',
      remedy:
        "ALTER SYSTEM SET wal_level = 'logical'; then restart PostgreSQL (managed: factlib-relay setup --dry-run --provider <yours>)",
    })
  else add({ code: 'WAL_LEVEL', level: 'ok', what: 'wal_level is "logical"' })
  if (isSynchronous(server.synchronousStandbyNames, names.applicationName))
    add({
      code: 'SYNC_STANDBY',
      level: 'problem',
      what: `synchronous_standby_names (${server.synchronousStandbyNames}) takes the relay's application_name "${names.applicationName}" for a synchronous standby`,
      why: 'Every COMMIT of every service would wait for Kafka; the relay ends with exit code 11 instead.',
      remedy:
        "Name your standbys one by one instead: ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby1)'; SELECT pg_reload_conf()",
    })
  if (server.idleTimeoutSeconds > 0)
    add({
      code: 'IDLE_TIMEOUT_SET',
      level: 'warning',
      what: `idle_replication_slot_timeout is ${server.idleTimeoutSeconds} s`,
      why: 'A relay that is down for longer loses its slot, and facts with it.',
      remedy: "ALTER SYSTEM SET idle_replication_slot_timeout = '0'; SELECT pg_reload_conf()",
    })
  if (server.maxSlotWalKeepBytes === undefined)
    add({
      code: 'WAL_UNLIMITED',
      level: 'warning',
      what: 'max_slot_wal_keep_size is -1: a relay that is down may fill the disk',
      why: 'PostgreSQL stops when its disk is full. With a limit it gives up the slot instead, and facts with it: you choose.',
      remedy:
        "Alert on the disk and on the slot's lag, or: ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf()",
    })
  if (server.walSenderTimeoutMs > 0 && server.walSenderTimeoutMs < 10_000)
    add({
      code: 'SENDER_TIMEOUT_SHORT',
      level: 'warning',
      what: `wal_sender_timeout is ${server.walSenderTimeoutMs} ms`,
      why: 'A short pause of the network or of the relay ends the connection, and what was unconfirmed is delivered again.',
      remedy: "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf()",
    })
  return findings
}

/** `*`, or our name in `a, b`, `2 (a, b)`, `FIRST 2 (a, b)`, `ANY 1 (a, b)`; names are compared without case. */
export function isSynchronous(setting: string, applicationName: string): boolean {
  const inside = /\((.*)\)/s.exec(setting)?.[1] ?? setting
  return inside
    .split(',')
    .map((name) => name.trim().replace(/^"(.*)"$/, '$1'))
    .some((name) => name === '*' || (name !== '' && name.toLowerCase() === applicationName.toLowerCase()))
}

function checkRole(role: RoleFacts, names: DoctorNames): Finding[] {
  const findings: Finding[] = []
  const add = (finding: Omit<Finding, 'area'>) => findings.push({ area: 'postgres', ...finding })
  const name = pg.escapeIdentifier(names.role)
  if (!role.mayReplicate)
    add({
      code: 'ROLE_REPLICATION',
      level: 'problem',
      what: `role "${names.role}" may not replicate`,
      why: 'PostgreSQL refuses the relay, which tries again for ever.',
      remedy: `ALTER ROLE ${name} WITH REPLICATION (Amazon: GRANT rds_replication TO ${name})`,
    })
  else add({ code: 'ROLE_REPLICATION', level: 'ok', what: `role "${names.role}" may replicate` })
  if (!role.seesStatistics)
    add({
      code: 'ROLE_STATISTICS',
      level: 'warning',
      what: `role "${names.role}" does not see other sessions`,
      why: 'Nobody warns of a transaction that is open for long, for which PostgreSQL keeps WAL.',
      remedy: `GRANT pg_read_all_stats TO ${name}`,
    })
  return findings
}

function replicationFinding(outcome: Outcome, facts: PostgresFacts, names: DoctorNames): Omit<Finding, 'area'> {
  if (outcome.ok) return { code: 'REPLICATION', level: 'ok', what: 'a replication connection can be opened' }
  if (outcome.hint === 'pooler') return poolerFinding(names)
  if (outcome.code === '53300') {
    const held = facts.slot?.activePid != null
    return {
      code: 'NO_FREE_SENDER',
      level: held ? 'warning' : 'problem',
      what: `all ${facts.server?.maxSenders ?? ''} WAL senders are in use: ${outcome.message}`,
      why: held
        ? 'The relay has one; another one could not stand by.'
        : 'The relay cannot connect, and tries again for ever.',
      remedy: `ALTER SYSTEM SET max_wal_senders = ${(facts.server?.maxSenders ?? 10) + 5}; then restart PostgreSQL. Who has them: SELECT pid, application_name, client_addr FROM pg_stat_replication`,
    }
  }
  if (outcome.code === '42501' || outcome.code === '28000')
    return {
      code: 'REPLICATION_REFUSED',
      level: 'problem',
      what: `PostgreSQL refuses a replication connection: ${outcome.message}`,
      why: 'The relay tries again for ever.',
      remedy: `ALTER ROLE ${pg.escapeIdentifier(names.role)} WITH REPLICATION; and does pg_hba.conf let it in?`,
    }
  return {
    code: 'REPLICATION',
    level: 'problem',
    what: `no replication connection can be opened: ${outcome.message}`,
    why: 'The relay streams over one.',
    remedy: 'Is something between here and PostgreSQL (a proxy, a pooler)? Give the direct address.',
  }
}
