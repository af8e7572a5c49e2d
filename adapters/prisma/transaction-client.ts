import { NotInTransactionError } from '../../src/errors.ts'
import type { SqlExecutor } from '../../src/executor.ts'
import type { Statement } from '../../src/statements.ts'
import type { UnknownClient } from './types.ts'

/**
 * Clients and transactions' clients: how they are told apart, and how a statement gets onto a transaction's own
 * connection whatever other extensions do.
 */

/** A client that can send the statement. */
export interface SendingClient extends UnknownClient {
  readonly $executeRaw: NonNullable<UnknownClient['$executeRaw']>
}

/** Extensions under each other that a search goes down; more than anyone stacks. */
const MAX_EXTENSIONS = 64
/** The same where each step makes a new client (some 10 µs), and nobody knows how many there are. */
const MAX_EXTENSIONS_OF_TRANSACTION = 8

export const OUTSIDE =
  'a fact was emitted outside a transaction: use the client that prisma.$transaction(async (tx) => …) hands out, ' +
  'tx.$emitFact(fact), or make prisma.$emitFact(fact) an element of prisma.$transaction([…]) of the same client'

const ENDED =
  'the transaction of this client has ended (committed, rolled back or timed out): emit before it ends, and await it'

/** Prisma's public contract: a transaction's client has no `$connect`. */
export function isTransactionClient(client: UnknownClient): client is SendingClient {
  return typeof client.$executeRaw === 'function' && typeof client.$connect !== 'function'
}

/** @throws NotInTransactionError unless `client` is the client of an interactive transaction. */
export function assertTransactionClient(client: unknown): asserts client is SendingClient {
  if (typeof client !== 'object' || client === null || !isTransactionClient(client))
    throw new NotInTransactionError(OUTSIDE)
}

/**
 * The clients that `client`, which is not a transaction's, was extended from: its parent first, the one that the user
 * made with `new PrismaClient` last. Empty for that one, which is its own parent.
 */
function clientsUnder(client: UnknownClient): UnknownClient[] {
  const clients: UnknownClient[] = []
  for (let current = client; clients.length < MAX_EXTENSIONS; ) {
    const below = current.$parent
    if (below === undefined || below === current) break
    clients.push(below)
    current = below
  }
  return clients
}

/** The client that the user made with `new PrismaClient`, without the extensions of `client`. */
export function rootClient(client: UnknownClient): SendingClient {
  return (clientsUnder(client).at(-1) ?? client) as SendingClient
}

/** How many extensions are under `client`, which is not a transaction's. */
export function extensionsUnder(client: UnknownClient): number {
  return clientsUnder(client).length
}

const bareClients = new WeakMap<object, SendingClient>()

/**
 * The transaction's client without any extension, in the same transaction. A query extension that wraps each operation
 * into a transaction of its own (`prisma.$transaction([…, query(args)])`, as tenants' row-level security is often done)
 * would carry the fact out of the caller's transaction, where it survives a rollback.
 *
 * `under`: how many extensions there are under the last one that knows `$emitFact`, where that is known.
 */
export function bareTransactionClient(tx: SendingClient, under?: number): SendingClient {
  const known = bareClients.get(tx)
  if (known !== undefined) return known
  let bare = tx
  // The parent of the bare client is itself, but no longer the same object: the steps have to be counted. Too many do no harm.
  let left = under ?? MAX_EXTENSIONS_OF_TRANSACTION
  while (true) {
    if (under === undefined || !('$emitFact' in bare)) left -= 1
    if (left < 0) break
    const below: UnknownClient | undefined = bare.$parent
    // Never out of the transaction: where a parent is not a transaction's client, the search ends above it.
    if (below === undefined || below === bare || !isTransactionClient(below)) break
    bare = below
  }
  bareClients.set(tx, bare)
  return bare
}

/** Sends statements in the transaction of `bare`. */
export function executorOf(bare: SendingClient): SqlExecutor {
  return {
    async execute(statement) {
      try {
        return await send(bare, statement)
      } catch (error) {
        // P2028: Prisma knows that the transaction is over, and has sent nothing.
        if ((error as { code?: unknown } | null)?.code === 'P2028')
          throw new NotInTransactionError(ENDED, { cause: error })
        throw error
      }
    },
  }
}

/**
 * Prisma's own lazy promise for the statement. `$executeRaw`, not `$queryRaw`: it is a write, and whatever routes reads
 * elsewhere (replicas) must see it as one.
 */
export function send(client: SendingClient, statement: Statement): PromiseLike<number> {
  return client.$executeRaw(templateOf(statement.strings), ...statement.values)
}

function templateOf(strings: readonly string[]): TemplateStringsArray {
  return Object.assign([...strings], { raw: strings })
}
