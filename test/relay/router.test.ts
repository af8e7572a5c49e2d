import { describe, expect, it } from 'vitest'
import { createRouter } from '../../relay/router.ts'

const handle = async () => {}

describe('router', () => {
  it('names the topic as OwlPost does, verbatim', () => {
    const route = createRouter([])
    expect(route('shop', 'order', 'order.created')).toEqual({ topic: 'shop.order' })
    expect(route('shop', 'User', '')).toEqual({ topic: 'shop.User' })
    expect(route('a.b', 'order.item', 'x')).toEqual({ topic: 'a.b.order.item' })
  })

  it('takes the first route that matches in all that it names', () => {
    const route = createRouter([
      { prefix: 'shop', aggregateType: 'order', eventType: 'order.paid', topic: 'payments' },
      { aggregateType: 'order', topic: 'orders' },
      { prefix: 'shop', aggregateType: 'audit', handle },
      { eventType: 'user.deleted', topic: 'goodbyes' },
      { aggregateType: 'order', topic: 'never' },
    ])
    expect(route('shop', 'order', 'order.paid')).toEqual({ topic: 'payments' })
    expect(route('shop', 'order', 'order.created')).toEqual({ topic: 'orders' })
    expect(route('other', 'order', 'order.paid')).toEqual({ topic: 'orders' })
    expect(route('shop', 'audit', 'x')).toEqual({ handle })
    expect(route('other', 'audit', 'x')).toEqual({ topic: 'other.audit' })
    expect(route('shop', 'user', 'user.deleted')).toEqual({ topic: 'goodbyes' })
    expect(route('shop', 'user', 'user.created')).toEqual({ topic: 'shop.user' })
  })

  it('gives the same answer again, and for more names than it remembers', () => {
    const route = createRouter([{ aggregateType: 'type-7', topic: 'seven' }])
    for (let round = 0; round < 2; round++)
      for (let i = 0; i < 12_000; i++)
        expect(route('shop', `type-${i}`, 'x').topic).toBe(i === 7 ? 'seven' : `shop.type-${i}`)
  })

  it('does not mix up names that have a NUL in them', () => {
    const route = createRouter([{ aggregateType: 'a', eventType: 'b\0c', topic: 'routed' }])
    expect(route('shop', 'a\0b', 'c').topic).toBe('shop.a\0b')
    expect(route('shop', 'a', 'b\0c').topic).toBe('routed')
  })
})
