import type { FactsSection } from '../state.ts'
import { ask } from './connection.ts'
import { byId, create, row, setCell, setText, show, sync } from './dom.ts'
import { formatBytes, formatLatency, formatTime } from './format.ts'

type Fact = FactsSection['facts'][number]

const LABELS = ['Delivered', 'Event', 'Key', 'Topic', 'Latency', 'Size', 'Payload']
const CLASSES = ['num-left', 'strong', 'mono', 'mono', 'num', 'num', 'payload-cell']

/** The last facts, in place; a payload is asked for when somebody wants it, and shown below its fact. */
export function createFactsPanel(token: () => string) {
  const table = byId('facts')
  const body = table.querySelector('tbody') as HTMLElement
  const pause = byId('pause')
  const message = byId('facts-message')
  let isPaused = false
  let latest: readonly Fact[] = []
  /** Of the fact whose payload is shown. */
  let open: { readonly id: string; readonly text: string } | undefined

  pause.addEventListener('click', () => {
    isPaused = !isPaused
    pause.setAttribute('aria-pressed', String(isPaused))
    setText(pause, isPaused ? 'Go on' : 'Pause')
    draw()
  })

  async function toggle(id: string): Promise<void> {
    if (open?.id === id) open = undefined
    else {
      const answer = await ask('GET', `facts/${encodeURIComponent(id)}/payload`, token())
      setText(message, answer.ok ? '' : answer.problem)
      if (answer.ok) open = { id, text: String(answer.body['payload']) }
    }
    draw()
  }

  let shown: readonly Fact[] = []
  function draw(): void {
    if (!isPaused) shown = latest
    show(byId('facts-empty'), shown.length === 0)
    show(table, shown.length > 0)
    table.classList.toggle(
      'has-payloads',
      shown.some(({ hasPayload }) => hasPayload),
    )
    setText(byId('facts-note'), isPaused ? 'paused' : shown.length > 0 ? `the latest ${shown.length}` : '')
    // A duplicate has the same id: it is its place that tells them apart.
    const rows = shown.flatMap((fact): { fact: Fact; payload?: string }[] =>
      open?.id === fact.id ? [{ fact }, { fact, payload: open.text }] : [{ fact }],
    )
    sync(body, rows, {
      key: ({ fact, payload }) => `${fact.id}\0${fact.atMs}\0${payload === undefined ? 'fact' : 'payload'}`,
      create: ({ fact, payload }) => (payload === undefined ? factRow(fact) : payloadRow(payload)),
      update: (element, { fact, payload }) => {
        const button = element.querySelector('button')
        if (payload !== undefined || !button) return
        button.setAttribute('aria-expanded', String(open?.id === fact.id))
      },
    })
  }

  function factRow(fact: Fact): HTMLTableRowElement {
    const element = row(LABELS, CLASSES)
    const texts = [
      formatTime(fact.atMs),
      fact.eventType || '–',
      fact.aggregateId || '–',
      fact.topic,
      fact.latencyMs === null ? '–' : formatLatency(fact.latencyMs),
      formatBytes(fact.bytes),
    ]
    for (const [index, text] of texts.entries()) setCell(element, index, text)
    setCell(element, 1, texts[1] ?? '', `${fact.id}, LSN ${fact.lsn}`)
    if (fact.hasPayload) {
      const button = create('button', { class: 'quiet small', text: 'Payload' })
      button.type = 'button'
      button.setAttribute('aria-label', `Payload of ${fact.eventType} ${fact.aggregateId}`)
      button.setAttribute('aria-expanded', 'false')
      button.addEventListener('click', () => void toggle(fact.id))
      ;(element.cells[6] as HTMLTableCellElement).append(button)
    }
    return element
  }

  return (section: FactsSection): void => {
    latest = section.facts
    draw()
  }
}

function payloadRow(payload: string): HTMLTableRowElement {
  const cell = create('td', { class: 'wide' }, create('pre', { class: 'payload', text: payload }))
  cell.colSpan = LABELS.length
  return create('tr', { class: 'payload-row' }, cell)
}
