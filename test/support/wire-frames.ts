// PostgreSQL's wire as a proxy sees it: frames out of chunks that end anywhere.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
//
//   frontend   (int32 length, int32 code, …)  before the start-up is over: StartupMessage, or SSLRequest and the like
//   both       byte tag, int32 length (without the tag), body
//   backend    one byte 'N' or 'S' as the answer to an SSLRequest

const NO_BYTES = Buffer.alloc(0)
const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104

/** Cuts typed messages out of a stream; `onFrame` gets views that are valid during the call only. */
export class FrameReader {
  readonly #onFrame: (tag: string, body: Buffer) => void
  #rest: Buffer = NO_BYTES

  constructor(onFrame: (tag: string, body: Buffer) => void) {
    this.#onFrame = onFrame
  }

  push(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (data.length - at >= 5) {
      const end = at + 1 + data.readUInt32BE(at + 1)
      if (end > data.length) break
      this.#onFrame(String.fromCharCode(data[at] as number), data.subarray(at + 5, end))
      at = end
    }
    // A copy: a rest that is a view would hold on to the chunk.
    this.#rest = at === data.length ? NO_BYTES : Buffer.from(data.subarray(at))
  }
}

/** Both directions of one connection, from its first byte. */
export class ConnectionReader {
  readonly #frontend: FrameReader
  readonly #backend: FrameReader
  #startup: Buffer = NO_BYTES
  #started = false
  /** Single bytes that the server owes as answers to SSLRequest and the like. */
  #answersDue = 0
  #unreadable = false

  /** @param onStartup the parameters of the StartupMessage as text, NUL between them. */
  constructor(listener: {
    onStartup(parameters: string): void
    onFrontend(tag: string, body: Buffer): void
    onBackend(tag: string, body: Buffer): void
  }) {
    this.#frontend = new FrameReader((tag, body) => listener.onFrontend(tag, body))
    this.#backend = new FrameReader((tag, body) => listener.onBackend(tag, body))
    this.#onStartup = listener.onStartup
  }

  readonly #onStartup: (parameters: string) => void

  /** What the client sent. */
  toServer(chunk: Buffer): void {
    if (this.#unreadable) return
    if (this.#started) {
      this.#frontend.push(chunk)
      return
    }
    this.#startup = Buffer.concat([this.#startup, chunk])
    while (this.#startup.length >= 8) {
      const length = this.#startup.readUInt32BE(0)
      if (this.#startup.length < length) return
      const code = this.#startup.readUInt32BE(4)
      const body = this.#startup.subarray(8, length)
      this.#startup = this.#startup.subarray(length)
      if (code === SSL_REQUEST || code === GSS_REQUEST) {
        this.#answersDue++
        continue
      }
      this.#started = true
      this.#onStartup(body.toString('utf8'))
      this.#frontend.push(this.#startup)
      this.#startup = NO_BYTES
      return
    }
  }

  /** What the server sent. */
  toClient(chunk: Buffer): void {
    if (this.#unreadable) return
    let data = chunk
    for (; this.#answersDue > 0 && data.length > 0; this.#answersDue--) {
      // From here on it is TLS.
      if (data[0] === 'S'.charCodeAt(0)) this.#unreadable = true
      data = data.subarray(1)
    }
    if (!this.#unreadable && data.length > 0) this.#backend.push(data)
  }
}
