/** One raw value (text of a variable or flag, or any value of a config file) → the value of an option, or a problem. */
import { nearest } from './nearest.ts'
import type { RelayOption } from './options.ts'

export type OptionValue = string | number | boolean | readonly string[]

/** `problem` goes after the setting's name, and never holds the value of a secret. */
export type ParsedValue = { readonly value: OptionValue } | { readonly problem: string }

const TRUE = ['true', '1', 't', 'yes', 'y', 'on']
const FALSE = ['false', '0', 'f', 'no', 'n', 'off']

/**
 * Reads one value; text is trimmed, except a secret's.
 *
 * @example
 * ```ts
 * parseOptionValue(windowFacts, '20000') // { value: 20000 }
 * parseOptionValue(windowFacts, '20k')   // { problem: 'must be a whole number from 1 to 10000000, but is "20k"' }
 * ```
 */
export function parseOptionValue(option: RelayOption, raw: unknown): ParsedValue {
  const text = typeof raw === 'string' ? (option.secret === true ? raw : raw.trim()) : undefined
  if (text === '') return { problem: 'must not be empty: leave it out, or give a value' }
  const but = option.secret === true ? '' : `, but is ${shown(raw)}`
  switch (option.kind.type) {
    case 'text':
      return text === undefined ? { problem: `must be text${but}` } : { value: text }
    case 'list': {
      const items = text !== undefined ? text.split(',') : raw
      if (!Array.isArray(items) || items.some((item) => typeof item !== 'string')) {
        return { problem: `must be text with commas, or an array of texts${but}` }
      }
      const trimmed = items.map((item: string) => item.trim())
      if (trimmed.length === 0 || trimmed.includes('')) return { problem: `has an empty place in its list${but}` }
      return { value: [...new Set(trimmed)] }
    }
    case 'integer': {
      const { min, max } = option.kind
      const number = text !== undefined && /^[+-]?\d{1,15}$/.test(text) ? Number(text) : raw
      if (typeof number !== 'number' || !Number.isInteger(number) || number < min || number > max) {
        return { problem: `must be a whole number from ${min} to ${max}${but}` }
      }
      return { value: number }
    }
    case 'boolean': {
      if (typeof raw === 'boolean') return { value: raw }
      const word = text?.toLowerCase()
      if (word !== undefined && TRUE.includes(word)) return { value: true }
      if (word !== undefined && FALSE.includes(word)) return { value: false }
      return { problem: `must be true or false${but}` }
    }
    case 'choice': {
      const { choices, aliases = {} } = option.kind
      const word = text?.toLowerCase()
      if (word !== undefined && choices.includes(word)) return { value: word }
      if (word !== undefined && Object.hasOwn(aliases, word)) return { value: aliases[word]! }
      const near = word === undefined ? undefined : nearest(word, choices)
      return {
        problem: `must be one of ${choices.join(', ')}${but}${near === undefined ? '' : `; did you mean "${near}"?`}`,
      }
    }
  }
}

/** A value that is not a secret, short enough for a message. */
function shown(raw: unknown): string {
  if (typeof raw === 'string') return JSON.stringify(raw.length > 60 ? `${raw.slice(0, 60)}…` : raw)
  if (typeof raw === 'number' || typeof raw === 'boolean') return String(raw)
  if (raw === null) return 'null'
  return Array.isArray(raw) ? 'an array' : `a value of type ${typeof raw}`
}
