import { channel } from 'node:diagnostics_channel'

/**
 * What factlib tells of its own work, through `node:diagnostics_channel`: metrics and logs subscribe, nothing is paid
 * when nobody does. No message carries a payload.
 */

/** One emission (of one fact, or of an array in one round trip), on the channel `factlib:emit`. */
export interface EmitEvent {
  readonly phase: 'start' | 'end' | 'error'
  readonly facts: readonly { readonly aggregateType: string; readonly eventType: string }[]
  readonly count: number
  /** Seconds since the start; 0 at the start. */
  readonly seconds: number
  /** The `EmitError`, in the phase `error`. */
  readonly error?: Error
}

/** A trace source threw, or gave something that is no trace, on the channel `factlib:trace-failed`. */
export interface TraceFailedEvent {
  readonly error: unknown
}

const emitChannel = channel('factlib:emit')
const traceFailedChannel = channel('factlib:trace-failed')

export function publishEmit(event: EmitEvent): void {
  emitChannel.publish(event)
}

export function publishTraceFailed(event: TraceFailedEvent): void {
  traceFailedChannel.publish(event)
}
