import type { SinkFaultKind } from '../sink/sink.ts'

/** Kafka's error codes (https://kafka.apache.org/protocol#protocol_error_codes), by what to do about them. */
const KIND_BY_CODE: ReadonlyMap<number, SinkFaultKind> = new Map([
  [3, 'topicMissing'],
  [5, 'retry'],
  [6, 'retry'],
  [7, 'retry'],
  [9, 'retry'],
  [13, 'retry'],
  [14, 'retry'],
  [15, 'retry'],
  [16, 'retry'],
  [19, 'retry'],
  [20, 'retry'],
  [56, 'retry'],
  [74, 'retry'],
  [45, 'renew'],
  // DUPLICATE_SEQUENCE_NUMBER: written, perhaps; a client that counts its own sequences knows, the other one looks.
  [46, 'renew'],
  [47, 'renew'],
  [49, 'renew'],
  [59, 'renew'],
  [90, 'renew'],
  [2, 'retry'],
  [10, 'record'],
  [18, 'record'],
  [32, 'record'],
  [87, 'record'],
  [17, 'configuration'],
  [29, 'configuration'],
  [31, 'configuration'],
  [33, 'configuration'],
  [34, 'configuration'],
  [35, 'configuration'],
  [38, 'configuration'],
  [44, 'configuration'],
  [53, 'configuration'],
  [58, 'configuration'],
  [76, 'configuration'],
])

/** DUPLICATE_SEQUENCE_NUMBER: the broker has these records already, which is success. */
export const DUPLICATE_SEQUENCE = 46

/** What an error code of a broker means; undefined for a code that is not in the table. */
export function kindOfCode(code: unknown): SinkFaultKind | undefined {
  return typeof code === 'number' ? KIND_BY_CODE.get(code) : undefined
}

/** A message of a library on one line, short enough for a log. */
export function oneLine(message: string): string {
  const line = message.replace(/\s+/g, ' ')
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}
