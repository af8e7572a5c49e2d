// What of @platformatic/kafka a Produce request goes through, in memory.

export type Callback = (error: unknown, answer?: unknown) => void

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
