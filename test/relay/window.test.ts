import { describe, expect, it } from 'vitest'
import { Window } from '../../relay/window.ts'

function watched(limits: { facts: number; bytes: number }) {
  const calls: string[] = []
  const window = new Window(limits, { pause: () => calls.push('pause'), resume: () => calls.push('resume') })
  return { window, calls }
}

describe('Window', () => {
  it('pauses at the limit of facts, once, and resumes at half', () => {
    const { window, calls } = watched({ facts: 4, bytes: 1_000 })
    for (let i = 0; i < 3; i++) window.add(1)
    expect(calls).toEqual([])
    for (let i = 0; i < 3; i++) window.add(1)
    expect(calls).toEqual(['pause'])
    expect(window.isFull).toBe(true)
    window.remove(3, 3)
    expect(calls).toEqual(['pause'])
    window.remove(1, 1)
    expect(calls).toEqual(['pause', 'resume'])
    expect(window.isFull).toBe(false)
    expect([window.facts, window.bytes]).toEqual([2, 2])
  })

  it('pauses at the limit of bytes, and resumes only when both are below half', () => {
    const { window, calls } = watched({ facts: 4, bytes: 1_000 })
    window.add(1_500)
    expect(calls).toEqual(['pause'])
    for (let i = 0; i < 3; i++) window.add(0)
    window.remove(1, 1_500)
    expect(calls).toEqual(['pause'])
    window.remove(1, 0)
    expect(calls).toEqual(['pause', 'resume'])
  })

  it('stays paused while few facts have many bytes', () => {
    const { window, calls } = watched({ facts: 4, bytes: 1_000 })
    window.add(600)
    window.add(600)
    window.remove(1, 600)
    expect(calls).toEqual(['pause'])
    window.remove(1, 600)
    expect(calls).toEqual(['pause', 'resume'])
  })

  it('resumes also with a limit of one', () => {
    const { window, calls } = watched({ facts: 1, bytes: 1_000 })
    window.add(10)
    window.remove(1, 10)
    window.add(10)
    window.remove(1, 10)
    expect(calls).toEqual(['pause', 'resume', 'pause', 'resume'])
  })
})
