import { kindOf } from './payload.ts'
import { isWellFormed } from './text.ts'

/** What a metadata value may be; on the wire it is text: numbers and bigints by `String()`, `True`/`False` and '' for null as Django's. */
export type MetadataValue = string | number | bigint | boolean | null

/** The one that everything without metadata shares. */
export const NO_METADATA: Readonly<Record<string, string>> = Object.freeze(Object.create(null))

/** Metadata as text, without a prototype (so that a key `__proto__` is a key), frozen; reasons against it are added to `problems`. */
export function metadataText(metadata: unknown, what: string, problems: string[]): Readonly<Record<string, string>> {
  if (metadata === undefined || metadata === null) return NO_METADATA
  const text: Record<string, string> = Object.create(null)
  if (!isPlainObject(metadata)) {
    problems.push(`${what} is ${kindOf(metadata)}: give a plain object of names and values`)
    return Object.freeze(text)
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (!isWellFormed(key)) {
      problems.push(`${what} has a name with half of a surrogate pair, which UTF-8 cannot hold: repair it`)
      continue
    }
    const converted = valueText(value)
    if (typeof converted === 'string') text[key] = converted
    else problems.push(`${what}.${key} ${converted.unfit}`)
  }
  return Object.freeze(text)
}

function valueText(value: unknown): string | { readonly unfit: string } {
  switch (typeof value) {
    case 'string':
      if (isWellFormed(value)) return value
      return { unfit: 'has half of a surrogate pair, which UTF-8 cannot hold: repair it' }
    case 'number':
      return Number.isFinite(value) ? String(value) : { unfit: 'is a number that is not finite: give it as text' }
    case 'bigint':
      return String(value)
    case 'boolean':
      return value ? 'True' : 'False'
    case 'undefined':
      return { unfit: 'is undefined: leave the name out, or give null for an empty value' }
    default:
      if (value === null) return ''
      return { unfit: `is ${kindOf(value)}: give a string, number, bigint, boolean or null` }
  }
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  // An object literal of another realm has that realm's Object.prototype, which has no prototype either.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
