/** One produce request of a relay, as a tracer sees it: no keys, no payloads. */
export interface ProduceRequest {
  readonly topic: string
  readonly partition: number
  /** Records, and the bytes of their values. */
  readonly count: number
  readonly bytes: number
  /** The id of the first fact. */
  readonly firstId: string
  /** The spans in which its facts were emitted, each once, at most 32. */
  readonly emittedIn: readonly EmittingSpan[]
}

export interface EmittingSpan {
  readonly traceId: string
  readonly spanId: string
  readonly isSampled: boolean
}

/** Traces what a relay produces. */
export interface ProduceTracer {
  /** Calls `send` once and settles as it does. */
  produce(request: ProduceRequest, send: () => Promise<void>): Promise<void>
}
