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
  /** Prefix → aggregate type → event type ('' where no route looks at it): no text is built for a fact. */
  const known = new Map<string, Map<string, Map<string, Target>>>()
  let count = 0
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
    const event = byEvent ? eventType : ''
    const found = known.get(prefix)?.get(aggregateType)?.get(event)
    if (found) return found
    if (++count > CACHE_LIMIT) {
      known.clear()
      count = 1
    }
    const target = find(prefix, aggregateType, eventType)
    const types = known.get(prefix) ?? new Map<string, Map<string, Target>>()
    const events = types.get(aggregateType) ?? new Map<string, Target>()
    known.set(prefix, types.set(aggregateType, events.set(event, target)))
    return target
  }
}
