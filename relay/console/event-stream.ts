import type { ServerResponse } from 'node:http'
import { withinLimit } from '../deferred.ts'

/** More pages than a team has; each costs a connection and a text a second. */
export const CLIENTS_MAX = 16
/** What a client has not read yet; more of it, and it is dropped. It comes back by itself, and then reads the latest. */
export const UNREAD_BYTES_MAX = 1_048_576
/** How long a client may take for the last words, milliseconds. */
const END_LIMIT_MS = 500

/**
 * Server-sent events to a bounded number of pages. Each section is remembered as it was sent last: a page that comes
 * later gets all of them first, and a section that has not changed is not sent again.
 *
 * @example
 * const stream = new EventStream(() => [['history', samples]])
 * stream.attach(response, headers)
 * stream.send('relay', { phase: 'streaming' })
 */
export class EventStream {
  readonly #clients = new Set<ServerResponse>()
  readonly #sections = new Map<string, string>()
  readonly #greeting: () => readonly (readonly [name: string, value: unknown])[]
  #ended = false

  /** @param greeting what only a new client is sent, before the sections. */
  constructor(greeting: () => readonly (readonly [name: string, value: unknown])[] = () => []) {
    this.#greeting = greeting
  }

  get clientCount(): number {
    return this.#clients.size
  }

  get isFull(): boolean {
    return this.#ended || this.#clients.size >= CLIENTS_MAX
  }

  attach(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
    response.writeHead(200, { ...headers, 'content-type': 'text/event-stream; charset=utf-8' })
    this.#clients.add(response)
    response.on('close', () => this.#clients.delete(response))
    response.on('error', () => this.#clients.delete(response))
    const greeting = this.#greeting().map(([name, value]) => frame(name, JSON.stringify(value)))
    response.write(
      `retry: 2000\n\n${greeting.join('')}${[...this.#sections].map(([name, json]) => frame(name, json)).join('')}`,
    )
  }

  /** A section: sent where it has changed. */
  send(name: string, value: unknown): void {
    const json = JSON.stringify(value)
    if (this.#sections.get(name) === json) return
    this.#sections.set(name, json)
    this.#write(frame(name, json))
  }

  /** What is not remembered: a sample of a chart. */
  pass(name: string, value: unknown): void {
    if (this.#clients.size > 0) this.#write(frame(name, JSON.stringify(value)))
  }

  /** The last words are handed out, then all connections are closed; never longer than half a second. */
  async end(): Promise<void> {
    this.#ended = true
    const clients = [...this.#clients]
    const closed = clients.map((client) => new Promise<void>((resolve) => client.once('close', resolve).end()))
    await withinLimit(Promise.all(closed), END_LIMIT_MS)
    for (const client of clients) client.destroy()
  }

  #write(text: string): void {
    for (const client of this.#clients) {
      if (client.writableLength > UNREAD_BYTES_MAX) client.destroy()
      else client.write(text)
    }
  }
}

function frame(name: string, json: string): string {
  return `event: ${name}\ndata: ${json}\n\n`
}
