import type { ReceivedFact, Route } from './types.ts'

/** Where a fact goes: a topic, or a handler of the user's own. */
export type Target =
  | { readonly topic: string; readonly handle?: undefined }
  | { readonly handle: (received: ReceivedFact) => Promise<void> | void; readonly topic?: undefined }

/** Names come from data, so what is remembered of them is bounded. */
const CACHE_LIMIT = 10_000

/**
 * Tells the target of a fact: the first route that matches, else the topic `${prefix}.${aggregateType}`, as OwlPost.
 *
 * @example createRouter([])('shop', 'order', 'order.created') // { topic: 'shop.order' }
 */
export function createRouter(
  routes: readonly Route[],
): (prefix: string, aggregateType: string, eventType: string) => Target {
  const cache = new Map<string, Target>()
  const byEvent = routes.some((route) => route.eventType !== undefined)

  function find(prefix: string, aggregateType: string, eventType: string): Target {
    for (const route of routes) {
      if (route.prefix !== undefined && route.prefix !== prefix) continue
      if (route.aggregateType !== undefined && route.aggregateType !== aggregateType) continue
      if (route.eventType !== undefined && route.eventType !== eventType) continue
      return route.handle ? { handle: route.handle } : { topic: route.topic as string }
    }
    return { topic: `${prefix}.${aggregateType}` }
  }

  return (prefix, aggregateType, eventType) => {
    // A prefix has no NUL, a type may: its length keeps type and event apart.
    const key = byEvent
      ? `${aggregateType.length}\0${prefix}\0${aggregateType}\0${eventType}`
      : `${prefix}\0${aggregateType}`
    const known = cache.get(key)
    if (known) return known
    const target = find(prefix, aggregateType, eventType)
    if (cache.size >= CACHE_LIMIT) cache.clear()
    cache.set(key, target)
    return target
  }
}
