import { types } from 'node:util'
import { isWellFormed } from './text.ts'

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue }

/**
 * What a payload may be: bytes go out as they are, a string as UTF-8, everything else as JSON (`null` is `null`),
 * left out: empty. `object` and not only `JsonValue`: interfaces and rows of an ORM are fit for JSON without an index
 * signature, and what does not fit is told when the fact is built.
 */
export type Payload = Uint8Array | JsonValue | object | undefined

/** Makes the bytes of every payload that is neither bytes nor a string nor left out; it replaces JSON. */
export type Serialize = (payload: Exclude<Payload, Uint8Array | string | undefined>) => Uint8Array | string

const encoder = new TextEncoder()

/** The bytes of a payload, a copy; reasons why it has none are added to `problems`, without the value. */
export function payloadBytes(payload: unknown, serialize: Serialize | undefined, problems: string[]): Uint8Array {
  if (payload === undefined) return new Uint8Array(0)
  // util.types and not instanceof: a Buffer from another realm (a test runner's sandbox) is one too.
  if (types.isUint8Array(payload)) return new Uint8Array(payload)
  if (typeof payload === 'string') return utf8(payload, 'payload', problems)
  if (serialize !== undefined) return serialized(payload, serialize, problems)
  const unfit = notJson(payload)
  if (unfit !== undefined) {
    problems.push(`payload is ${unfit}`)
    return new Uint8Array(0)
  }
  let text: string | undefined
  try {
    text = JSON.stringify(payload)
  } catch (error) {
    problems.push(`payload cannot be written as JSON: ${whyNoJson(error)}`)
    return new Uint8Array(0)
  }
  if (text === undefined) {
    problems.push('payload has no JSON form (its toJSON gives undefined): give bytes, a string or a JSON value')
    return new Uint8Array(0)
  }
  return utf8(text, 'payload', problems)
}

function serialized(payload: unknown, serialize: Serialize, problems: string[]): Uint8Array {
  let made: unknown
  try {
    made = serialize(payload as Parameters<Serialize>[0])
  } catch (error) {
    // The message of the user's own function may hold the value: only the kind of error is told.
    problems.push(`payload: the serialize option threw ${error instanceof Error ? error.name : typeof error}`)
    return new Uint8Array(0)
  }
  if (types.isUint8Array(made)) return new Uint8Array(made)
  if (typeof made === 'string') return utf8(made, 'payload', problems)
  problems.push(`payload: the serialize option gave ${kindOf(made)}: it has to return a Uint8Array or a string`)
  return new Uint8Array(0)
}

function utf8(text: string, what: string, problems: string[]): Uint8Array {
  if (!isWellFormed(text)) problems.push(`${what} has half of a surrogate pair, which UTF-8 cannot hold: repair it`)
  return encoder.encode(text)
}

function notJson(payload: unknown): string | undefined {
  if (typeof payload === 'bigint') return 'a bigint, which JSON cannot hold: give it as a string, or set `serialize`'
  if (typeof payload === 'number' && !Number.isFinite(payload))
    return 'a number that is not finite, which JSON cannot hold'
  if (typeof payload === 'function' || typeof payload === 'symbol')
    return `a ${typeof payload}: give bytes, a string or JSON`
  // Most payloads: none of the kinds below, which the engine is asked for one by one.
  if (isObjectOrArray(payload)) return undefined
  if (ArrayBuffer.isView(payload) || types.isAnyArrayBuffer(payload)) {
    return 'a buffer that is no Uint8Array: wrap it, `new Uint8Array(…)`'
  }
  if (types.isMap(payload) || types.isSet(payload)) return 'a Map or Set, which JSON writes as {}: convert it first'
  if (types.isPromise(payload)) return 'a promise: await it first'
  return undefined
}

function isObjectOrArray(payload: unknown): boolean {
  if (typeof payload !== 'object' || payload === null) return false
  try {
    const prototype: unknown = Object.getPrototypeOf(payload)
    return prototype === Object.prototype || prototype === Array.prototype
  } catch {
    // A proxy that tells nobody, or a revoked one: JSON.stringify decides.
    return false
  }
}

function whyNoJson(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  if (message.includes('BigInt')) return 'it holds a bigint: give it as a string, or set `serialize`'
  if (message.includes('circular')) return 'it holds a cycle: give a plain value, or set `serialize`'
  return `JSON.stringify threw ${error instanceof Error ? error.name : typeof error}`
}

/** What a value is, in words for a message, without the value. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (value === undefined) return 'undefined'
  if (typeof value !== 'object') return `a ${typeof value}`
  const name: unknown = value.constructor?.name
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `a ${name}` : 'an object'
}
