import type { DoctorSection, Peer, RelaySection, SlotSection, TopicsSection } from '../state.ts'
import { byId, create, row, setCell, setText, show, sync } from './dom.ts'
import { formatAgo, formatBytes, formatCount, formatLatency, formatRate, formatSeconds } from './format.ts'

// What only shows: tiles, slot, peers, topics, findings. `nowMs` is the relay's clock.

/** Of the budget that is left: from here on somebody should look, and here somebody must. */
const LOW_SHARE = 0.5
const VERY_LOW_SHARE = 0.2
/** So far behind is worth a colour. */
const BEHIND_SECONDS = 10

export function showTiles(delivered: number, relay: RelaySection): void {
  setText(byId('tile-rate'), formatRate(delivered))
  setText(byId('tile-rate-note'), `${formatCount(relay.deliveredCount)} since the start`)
  const { behindSeconds, behindIsAtLeast, pendingFacts, heartbeatSeconds } = relay
  const behind = behindSeconds === null ? '–' : `${behindIsAtLeast ? '≥ ' : ''}${formatSeconds(behindSeconds)}`
  setText(byId('tile-lag'), behind)
  const heartbeat =
    heartbeatSeconds === null ? 'none in flight' : `heartbeat ${formatLatency(heartbeatSeconds * 1_000)}`
  setText(byId('tile-lag-note'), pendingFacts > 0 ? `${formatCount(pendingFacts)} facts in flight` : heartbeat)
  byId('tile-lag-box').dataset['state'] = (behindSeconds ?? 0) > BEHIND_SECONDS ? 'warning' : ''
}

/** Shown while something is wrong; a fault that has passed is no news. */
export function showFaults(faults: RelaySection['faults']): void {
  sync(byId('faults'), faults.slice(0, 6), {
    key: ({ side, type }) => `${side} ${type}`,
    create: () => create('li'),
    update: (element, { side, type, count }) =>
      setText(element, `${side === 'kafka' ? 'Kafka' : 'PostgreSQL'} ${type} ×${count >= 100 ? '100+' : count}`),
  })
}

export function showSlot(slot: SlotSection): void {
  const hasSlot = slot.exists
  const share = slot.limitBytes && slot.leftBytes !== null ? Math.max(0, slot.leftBytes) / slot.limitBytes : null
  showBudget(slot, hasSlot ? Math.min(1, share ?? 1) : 0, share !== null)
  sync(byId('slot-findings'), slot.findings, {
    key: ({ code }) => code,
    create: ({ code }) => finding('problem', code),
    update: (element, { message }) => setText(element.querySelector('.what') as Element, message),
  })
  showPeers(slot.peers)
}

function showBudget(slot: SlotSection, left: number, isLimited: boolean): void {
  const state = !slot.exists || left < VERY_LOW_SHARE ? 'problem' : left < LOW_SHARE ? 'warning' : 'ok'
  const isLost = !slot.exists || slot.walStatus === 'lost'
  const percent = Math.floor(left * 100)
  setText(byId('tile-budget'), isLost ? 'lost' : isLimited ? `${percent} %` : 'no limit')
  setText(
    byId('tile-budget-note'),
    isLost
      ? 'facts may be missing'
      : isLimited
        ? `${formatBytes(Math.max(0, slot.leftBytes ?? 0))} left`
        : 'the disk is the limit',
  )
  byId('tile-budget-box').dataset['state'] = state === 'ok' ? '' : state
  const status = slot.failure !== null ? 'not known' : isLost ? 'lost' : (slot.walStatus ?? 'not known')
  setText(byId('wal-status'), status)
  byId('wal-status').dataset['state'] = isLost ? 'problem' : status === 'unreserved' ? 'warning' : 'ok'

  const meter = byId('meter')
  show(meter, isLimited && !isLost)
  const used = 100 - percent
  meter.dataset['state'] = state
  meter.setAttribute('aria-valuenow', String(used))
  byId('meter-fill').style.width = `${Math.max(1, used)}%`
  const kept = formatBytes(slot.keptBytes)
  const line = isLost
    ? 'PostgreSQL keeps no WAL for this relay any more.'
    : isLimited
      ? `${kept} of ${formatBytes(slot.limitBytes ?? 0)} kept for the slot`
      : `${kept} kept for the slot, without a limit`
  setText(byId('budget-line'), line)
  meter.setAttribute('aria-valuetext', line)
  setText(byId('forecast'), forecast(slot, isLost))
}

function forecast(slot: SlotSection, isLost: boolean): string {
  if (slot.failure !== null) return `PostgreSQL cannot be asked: ${slot.failure}`
  if (isLost) return 'What is missing in Kafka is to be recovered from the tables; the reason above says how to go on.'
  const written = `${formatBytes(slot.walBytesPerSecond)}/s of WAL is written.`
  if (slot.limitBytes === null)
    return `${written} max_slot_wal_keep_size is not set: a relay that is down fills the disk.`
  if (slot.leftSeconds === null) return 'Nothing is being written: the budget lasts.'
  return `${written} At this rate, and nothing confirmed, the budget lasts ${formatSeconds(slot.leftSeconds)}.`
}

const PEER_LABELS = ['Role', 'Name', 'From', 'Since']

function showPeers(peers: readonly Peer[]): void {
  show(byId('peers-empty'), peers.length === 0)
  show(byId('peers'), peers.length > 0)
  sync(byId('peers').querySelector('tbody') as HTMLElement, peers, {
    key: ({ role, name, address, detail }) => `${role}\0${name}\0${address}\0${detail}`,
    create: () => row(PEER_LABELS, ['', 'mono', 'mono', '']),
    update: (element, peer) => {
      setCell(element, 0, peer.role, peer.detail)
      setCell(element, 1, peer.name || '–')
      setCell(element, 2, peer.address)
      setCell(element, 3, peer.sinceMs === null ? '–' : new Date(peer.sinceMs).toLocaleString('en-GB'))
    },
  })
}

const TOPIC_LABELS = ['Topic', 'Facts/s', 'Facts', 'Last event', 'Key', 'Last']
const TOPIC_CLASSES = ['mono strong', 'num', 'num', '', 'mono', 'num']

export function showTopics({ topics, omitted }: TopicsSection, nowMs: number): void {
  show(byId('topics-empty'), topics.length === 0)
  show(byId('topics'), topics.length > 0)
  setText(byId('topics-note'), omitted > 0 ? `and ${omitted} more, not kept` : '')
  sync(byId('topics').querySelector('tbody') as HTMLElement, topics, {
    key: ({ topic }) => topic,
    create: () => row(TOPIC_LABELS, TOPIC_CLASSES, { 'Facts/s': 'facts/s', Facts: 'facts' }),
    update: (element, { topic, perSecond, count, last }) => {
      setCell(element, 0, topic)
      setCell(element, 1, formatRate(perSecond))
      setCell(element, 2, formatCount(count))
      setCell(element, 3, last.eventType || '–', last.id)
      setCell(element, 4, last.key || '–')
      setCell(element, 5, last.atMs === 0 ? '–' : formatAgo(last.atMs, nowMs))
    },
  })
}

export function showDoctor(doctor: DoctorSection, nowMs: number): void {
  const button = byId<HTMLButtonElement>('doctor-run')
  button.setAttribute('aria-disabled', String(doctor.isRunning))
  setText(button, doctor.isRunning ? 'Looking…' : 'Run the doctor')
  const bad = doctor.findings.filter(({ level }) => level !== 'ok')
  const good = doctor.findings.filter(({ level }) => level === 'ok')
  bad.sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level))
  if (doctor.ranAtMs !== null)
    setText(
      byId('doctor-note'),
      doctor.failure !== null
        ? `Could not look: ${doctor.failure}`
        : `${bad.length === 0 ? 'Nothing to mend' : `${bad.length} to look at`}, ${formatAgo(doctor.ranAtMs, nowMs)}`,
    )
  const options = {
    key: ({ code, what }: (typeof doctor.findings)[number]) => `${code}\0${what}`,
    create: (found: (typeof doctor.findings)[number]) => {
      const element = finding(found.level, found.code)
      setText(element.querySelector('.what') as Element, found.what)
      if (found.why !== null) element.append(create('p', { class: 'why', text: found.why }))
      if (found.remedy !== null) element.append(create('pre', { class: 'remedy', text: found.remedy }))
      return element
    },
    update: () => {},
  }
  sync(byId('doctor-findings'), bad, options)
  sync(byId('doctor-ok-findings'), good, options)
  show(byId('doctor-ok'), good.length > 0)
  setText(byId('doctor-ok-summary'), `${good.length} in order`)
}

const LEVELS = ['problem', 'warning', 'unknown', 'ok']
const LEVEL_WORDS: Readonly<Record<string, string>> = {
  problem: 'Problem',
  warning: 'Warning',
  unknown: 'Not known',
  ok: 'In order',
}

function finding(level: string, code: string): HTMLLIElement {
  const element = create(
    'li',
    {},
    create('p', { class: 'what' }),
    create(
      'p',
      { class: 'code' },
      create('span', { class: 'tag', text: LEVEL_WORDS[level] ?? level }),
      create('code', { text: code }),
    ),
  )
  element.dataset['level'] = level
  ;(element.querySelector('.tag') as HTMLElement).dataset['state'] = level
  return element
}
