import type { ConsoleSections, Sample, SectionName } from '../state.ts'

export type LiveState = 'connecting' | 'live' | 'lost' | 'ended'

export interface ConnectionHandlers {
  onHistory(samples: readonly Sample[]): void
  onSample(sample: Sample): void
  onSection<N extends SectionName>(name: N, section: ConsoleSections[N]): void
  onState(state: LiveState): void
}

const SECTIONS: readonly SectionName[] = ['relay', 'slot', 'topics', 'deadLetters', 'facts', 'doctor', 'ended']
const RETRY_MS = 3_000
/** A stream that says nothing for so long is dead, whatever the browser believes: a sample comes every second. */
const SILENCE_MS = 10_000

/** Reads the relay's events, and comes back for ever. */
export function connect(handlers: ConnectionHandlers): void {
  let source: EventSource | undefined
  let silence = 0
  let hasEnded = false

  function heard(): void {
    clearTimeout(silence)
    silence = window.setTimeout(again, SILENCE_MS)
  }

  function again(): void {
    source?.close()
    clearTimeout(silence)
    handlers.onState(hasEnded ? 'ended' : 'lost')
    window.setTimeout(open, RETRY_MS)
  }

  function open(): void {
    const stream = new EventSource('events')
    source = stream
    stream.addEventListener('open', () => {
      hasEnded = false
      handlers.onState('live')
      heard()
    })
    // Not left to the browser: it gives up for good where the answer is not a stream.
    stream.addEventListener('error', again)
    stream.addEventListener('history', ({ data }) => handlers.onHistory(JSON.parse(data) as Sample[]))
    stream.addEventListener('sample', ({ data }) => {
      heard()
      handlers.onSample(JSON.parse(data) as Sample)
    })
    for (const name of SECTIONS) {
      stream.addEventListener(name, ({ data }) => {
        heard()
        if (name === 'ended') hasEnded = true
        handlers.onSection(name, JSON.parse(data) as never)
      })
    }
  }

  open()
}

/** What the relay answers to an action: done, or why not. */
export type Answer =
  | { readonly ok: true; readonly body: Record<string, unknown> }
  | { readonly ok: false; readonly problem: string }

export async function ask(method: 'GET' | 'POST', path: string, token: string): Promise<Answer> {
  try {
    const response = await fetch(path, {
      method,
      headers: token === '' ? {} : { authorization: `Bearer ${token}` },
      credentials: 'omit',
    })
    const body = (await response.json()) as Record<string, unknown>
    return response.ok ? { ok: true, body } : { ok: false, problem: String(body['problem'] ?? response.status) }
  } catch {
    return { ok: false, problem: 'The relay did not answer.' }
  }
}
