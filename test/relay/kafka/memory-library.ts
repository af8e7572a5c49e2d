// What of @platformatic/kafka a Produce request goes through, in memory.

export type Callback = (error: unknown, answer?: unknown) => void

/** One request of the library: its callback gets the answer to the connection and the arguments, or what that throws. */
export const memoryApi = <Connection>(answer: (connection: Connection, ...args: never[]) => unknown) => ({
  api: (connection: Connection, ...args: unknown[]) => {
    const done = args.pop() as Callback
    let answered: unknown
    try {
      answered = answer(connection, ...(args as never[]))
    } catch (error) {
      done(error)
      return
    }
    done(null, answered)
  },
  parseResponse: undefined,
})

/** Connections as `get` gives them, none of them kept. */
export function memoryPool<Broker>(get: (broker: Broker) => unknown) {
  return class {
    on = () => {}
    get = async (broker: Broker) => get(broker)
    getEstablishedConnection = () => undefined
    close = async () => {};
    *[Symbol.iterator]() {}
  }
}

/** Keeps copies of what is appended: the encoder uses its buffer again. */
export const memoryWriter = {
  create: () => ({
    chunks: [] as Buffer[],
    append(chunk: Buffer) {
      this.chunks.push(Buffer.from(chunk))
      return this
    },
  }),
}

/** A connection's `send`: hands over the pieces of each request; one that cannot be made fails, as the library does it. */
export function memorySend(onRequest: (pieces: readonly Buffer[], done: Callback) => void) {
  return (
    _key: 0,
    _version: number,
    payload: () => ReturnType<typeof memoryWriter.create>,
    _parser: never,
    _requestTags: boolean,
    _responseTags: boolean,
    done: Callback,
  ): void => {
    let pieces: readonly Buffer[]
    try {
      pieces = payload().chunks
    } catch (error) {
      done(error)
      return
    }
    onRequest(pieces, done)
  }
}
