import type { DeadLettersSection } from '../state.ts'
import { ask } from './connection.ts'
import { byId, create, row, setCell, setText, show, sync } from './dom.ts'
import { formatAgo, formatCount } from './format.ts'

type Letter = DeadLettersSection['open'][number]

const LABELS = ['Reason', 'Topic', 'Key', 'When', '']
const CAUSES: Readonly<Record<string, string>> = {
  malformed: 'not a fact',
  too_large: 'too large',
  invalid_topic: 'invalid topic',
  refused: 'refused by the broker',
  key_blocked: 'behind an earlier one of its key',
}

/** Open dead letters, and the button that requeues one: it asks a second time before it does. */
export function createDeadLettersPanel(token: () => string) {
  const table = byId('dead')
  const message = byId('dead-message')
  let mayRequeue = false
  let sure: { readonly id: string; readonly timer: number } | undefined

  async function requeue(id: string, button: HTMLButtonElement): Promise<void> {
    if (token() === '') {
      tell('Type the console token first: CONSOLE_TOKEN of the relay.', true)
      byId('token').focus()
      return
    }
    if (sure?.id !== id) {
      clearTimeout(sure?.timer)
      sure = {
        id,
        timer: window.setTimeout(() => {
          sure = undefined
          setText(button, 'Requeue')
        }, 6_000),
      }
      setText(button, 'Sure? Requeue')
      return
    }
    clearTimeout(sure.timer)
    sure = undefined
    setText(button, 'Requeueing…')
    const answer = await ask('POST', `dead-letters/${encodeURIComponent(id)}/requeue`, token())
    setText(button, 'Requeue')
    if (!answer.ok) return tell(`Not requeued: ${answer.problem}`, true)
    const note = String(answer.body['note'] ?? '')
    tell(`Requeued ${id}.${note === '' ? '' : ` ${note}`}`, false)
  }

  function tell(text: string, isProblem: boolean): void {
    setText(message, text)
    message.dataset['state'] = isProblem ? 'problem' : 'ok'
  }

  function letterRow(letter: Letter): HTMLTableRowElement {
    const element = row(LABELS, ['reason', 'mono', 'mono', 'num', 'action'])
    const reason = element.cells[0] as HTMLTableCellElement
    reason.append(
      create('strong', { text: CAUSES[letter.cause] ?? letter.cause }),
      create('span', { class: 'detail', text: letter.detail }),
    )
    const button = create('button', { class: 'small', text: 'Requeue' })
    button.type = 'button'
    button.setAttribute('aria-label', `Requeue ${letter.id}`)
    button.addEventListener('click', () => void requeue(letter.id, button))
    ;(element.cells[4] as HTMLTableCellElement).append(button)
    return element
  }

  return (section: DeadLettersSection, nowMs: number, mayRequeueNow: boolean): void => {
    mayRequeue = mayRequeueNow
    const { open, openCount, topic, failure, lookedAtMs } = section
    const isKnown = lookedAtMs !== null
    setText(byId('tile-dead'), topic === null ? 'off' : isKnown ? formatCount(openCount) : '–')
    byId('tile-dead-box').dataset['state'] = openCount > 0 ? 'warning' : ''
    setText(
      byId('tile-dead-note'),
      topic === null ? 'DEAD_LETTER_TOPIC is not set' : openCount > 0 ? 'open' : isKnown ? 'none open' : '',
    )
    setText(
      byId('dead-note'),
      topic === null
        ? ''
        : `${topic}${isKnown ? `, looked at ${formatAgo(lookedAtMs, nowMs)}` : ''}${section.isPartial ? ', its latest records only' : ''}`,
    )
    show(byId('token-form'), mayRequeue && open.length > 0)
    show(table, open.length > 0)
    const empty = byId('dead-empty')
    show(empty, open.length === 0 || failure !== null)
    setText(
      empty,
      topic === null
        ? 'DEAD_LETTER_TOPIC is not set: a fact that Kafka can never take holds its partition until somebody acts.'
        : failure !== null
          ? `The topic cannot be read: ${failure}`
          : isKnown
            ? 'None. Every fact that was emitted could be produced.'
            : 'The topic is being read.',
    )
    sync(table.querySelector('tbody') as HTMLElement, open, {
      key: ({ id }) => id,
      create: letterRow,
      update: (element, letter) => {
        setCell(element, 1, letter.topic || 'not known', letter.id)
        setCell(element, 2, letter.key || '–')
        setCell(element, 3, formatAgo(letter.atMs, nowMs))
        show(element.querySelector('button') as HTMLElement, mayRequeue)
      },
    })
    if (!mayRequeue && open.length > 0)
      tell('To requeue from here, set CONSOLE_TOKEN; or run factlib-relay dead-letters requeue <id>.', false)
  }
}
