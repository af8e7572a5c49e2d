import type { Route } from '../types.ts'
import { nearest } from './nearest.ts'

const KEYS = ['prefix', 'aggregateType', 'eventType', 'topic', 'handle']

/**
 * Checks the `routes` of a config file or of `createRelay` and copies them.
 *
 * @example
 * ```ts
 * const problems: string[] = []
 * parseRoutes([{ aggregateType: 'user', topic: 'user-events' }], problems)
 * ```
 */
export function parseRoutes(raw: unknown, problems: string[]): Route[] {
  if (raw === undefined || raw === null) return []
  if (!Array.isArray(raw)) {
    problems.push('routes must be an array, such as [{ aggregateType: "user", topic: "user-events" }]')
    return []
  }
  return raw.flatMap((entry: unknown, index) => {
    const route = parseRoute(entry, `routes[${index}]`, problems)
    return route === undefined ? [] : [route]
  })
}

function parseRoute(raw: unknown, name: string, problems: string[]): Route | undefined {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    problems.push(`${name} must be an object with a topic or a handle`)
    return undefined
  }
  const before = problems.length
  const entry = raw as Readonly<Record<string, unknown>>
  for (const key of Object.keys(entry)) {
    if (KEYS.includes(key)) continue
    const near = nearest(key, KEYS)
    problems.push(`${name}.${key} is unknown${near === undefined ? '' : `; did you mean "${near}"?`}`)
  }
  const match: Record<string, string> = {}
  for (const key of ['prefix', 'aggregateType', 'eventType']) {
    const value = entry[key]
    if (value === undefined) continue
    if (typeof value !== 'string' || value === '')
      problems.push(`${name}.${key} must be text that is not empty; leave it out for any`)
    else match[key] = value
  }
  const { topic, handle } = entry
  if ((topic === undefined) === (handle === undefined)) {
    problems.push(`${name} needs a topic or a handle, and not both`)
  } else if (topic !== undefined && !isTopicName(topic)) {
    problems.push(`${name}.topic is no name of a Kafka topic: up to 249 letters, digits, ".", "_" and "-"`)
  } else if (handle !== undefined && typeof handle !== 'function') {
    problems.push(`${name}.handle must be a function (a JSON file cannot hold one: use a .mjs or .js file)`)
  }
  if (problems.length > before) return undefined
  return (topic !== undefined ? { ...match, topic } : { ...match, handle }) as Route
}

/** Whether Kafka takes this as a topic's name. */
export function isTopicName(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9._-]{1,249}$/.test(value) && value !== '.' && value !== '..'
}
