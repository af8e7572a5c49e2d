import { channel } from 'node:diagnostics_channel'

/**
 * What factlib tells of its own work, through `node:diagnostics_channel`: metrics and logs subscribe, nothing is paid
 * when nobody does. No message carries a payload.
 */

/** One emission (of one fact, or of an array in one round trip), on the channel `factlib:emit`. */
export interface EmitEvent {
  readonly phase: 'start' | 'end' | 'error'
  /** The same object from the start of an emission to its end. */
  readonly emission: object
  readonly facts: readonly EmittedFact[]
  readonly count: number
  /** Seconds since the start; 0 at the start. */
  readonly seconds: number
  /** The `EmitError`, in the phase `error`. */
  readonly error?: Error
}

/** What is told of a fact: never its payload, nor its aggregate's id. */
export interface EmittedFact {
  readonly id: string
  readonly aggregateType: string
  readonly eventType: string
  /** Where the relay produces it, unless a route says otherwise: `${prefix}.${aggregateType}`. */
  readonly topic: string
  /** Of the envelope. */
  readonly bytes: number
}

/** A trace source threw, or gave something that is no trace, on the channel `factlib:trace-failed`. */
export interface TraceFailedEvent {
  readonly error: unknown
}

const emitChannel = channel('factlib:emit')
const traceFailedChannel = channel('factlib:trace-failed')

/** Whether anybody listens; an emission is put into words only then. */
export function isEmitHeard(): boolean {
  return emitChannel.hasSubscribers
}

export function publishEmit(event: EmitEvent): void {
  emitChannel.publish(event)
}

export function publishTraceFailed(event: TraceFailedEvent): void {
  traceFailedChannel.publish(event)
}
