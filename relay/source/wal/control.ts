import pg, { type ClientConfig } from 'pg'
import type { QueryClient } from './slot-memory.ts'

/** A look at the slot must not hang behind a lock or a half-dead server. */
const STATEMENT_TIMEOUT_MS = 5_000

/**
 * The memory of the slot is written before a position is confirmed, and must be there after a crash; so also in a
 * database that is read-only by default (a provider's answer to a full disk), and not in `synchronous_commit = off`.
 */
const SESSION = `SELECT set_config('default_transaction_read_only', 'off', false), set_config('synchronous_commit',
  CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)`

/**
 * The second connection: memory, guardian and zombie check run over it, never facts. Opened when first needed, and again
 * after it was lost. It also hears first when the server stops: `57P01` reaches an idle connection at once, while the
 * stream's server side waits for us.
 */
export class ControlConnection implements QueryClient {
  readonly #config: ClientConfig
  readonly #onServerStopping: () => void
  #client: Promise<pg.Client> | undefined
  #current: pg.Client | undefined
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  /** @param timeoutMs of one statement; the answer may take a second more. */
  constructor(config: ClientConfig, onServerStopping: () => void, timeoutMs: number = STATEMENT_TIMEOUT_MS) {
    this.#config = { ...config, statement_timeout: timeoutMs, query_timeout: timeoutMs + 1_000 }
    this.#onServerStopping = onServerStopping
  }

  query(text: string, values: unknown[] = []): Promise<{ rows: Record<string, unknown>[] }> {
    // One after another: a client of pg warns of two at once, and its next major version refuses them.
    const answer = this.#last.then(() => this.#query(text, values))
    this.#last = answer.catch(() => {})
    return answer
  }

  async #query(text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }> {
    if (this.#closed) throw new Error('the control connection is closed')
    this.#client ??= this.#connect()
    const client = await this.#client
    try {
      return await client.query(text, values)
    } catch (error) {
      // The server said nothing, not even that its own limit had passed: `pg` gives up the statement and keeps the
      // connection, where each later one would wait behind it until TCP gives up, some 15 minutes later.
      if (!isOfServer(error)) {
        if (this.#current === client) {
          this.#current = undefined
          this.#client = undefined
        }
        ;(
          client as unknown as { readonly connection: { readonly stream: { destroy(): void } } }
        ).connection.stream.destroy()
      }
      throw error
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const ended = this.#client?.then((client) => client.end())
    this.#client = undefined
    // It may never have been open.
    ended?.catch(() => {})
    // A server that does not answer, neither to this nor to the connection that is being made, must not hold up a stop.
    const limit = new Promise<void>((resolve) => setTimeout(resolve, 1_000).unref())
    await Promise.race([ended, limit]).catch(() => {})
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client(this.#config)
    this.#current = client
    const forget = (error?: Error & { code?: string }) => {
      // A late word of an older connection is not about the present one.
      if (this.#current === client) {
        this.#current = undefined
        this.#client = undefined
      }
      if (error?.code === '57P01' && !this.#closed) this.#onServerStopping()
    }
    client.on('error', forget)
    client.on('end', () => forget())
    try {
      await client.connect()
      await client.query(SESSION)
    } catch (error) {
      forget()
      client.end().catch(() => {})
      throw error
    }
    return client
  }
}

/** Whether the server answered so: the connection is sound then. */
function isOfServer(error: unknown): boolean {
  return typeof (error as { severity?: unknown }).severity === 'string'
}
