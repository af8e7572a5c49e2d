import type { ConsoleSections, Sample, SectionName } from '../state.ts'
import { createCharts } from './charts.ts'
import { ask, connect, type LiveState } from './connection.ts'
import { createDeadLettersPanel } from './dead-letters-panel.ts'
import { byId, setText } from './dom.ts'
import { createFactsPanel } from './facts-panel.ts'
import { formatSeconds } from './format.ts'
import { showDoctor, showFaults, showSlot, showTiles, showTopics } from './panels.ts'
import { startTheme } from './theme.ts'
import { judge } from './verdict.ts'

// The page: sections come in as events (connection.ts), each is drawn by its panel, once a frame.

const known: { -readonly [N in SectionName]?: ConsoleSections[N] } = {}
let live: LiveState = 'connecting'
let lastSample: Sample | undefined
/** The relay's clock ahead of this machine's, milliseconds. */
let aheadMs = 0
let isDrawing = false

const charts = createCharts(byId('throughput'), byId('lag'))
startTheme(byId('theme'), () => charts.redraw())
const token = () => byId<HTMLInputElement>('token').value.trim()
const showFacts = createFactsPanel(token)
const showDeadLetters = createDeadLettersPanel(token)
byId('token-form').addEventListener('submit', (event) => event.preventDefault())

byId('doctor-run').addEventListener('click', async () => {
  if (known.doctor?.isRunning) return
  const answer = await ask('POST', 'doctor', '')
  setText(byId('doctor-message'), answer.ok ? '' : answer.problem)
})

connect({
  onHistory(samples) {
    take(samples.at(-1))
    charts.reset(samples)
  },
  onSample(sample) {
    take(sample)
    charts.add(sample)
    draw()
  },
  onSection(name, section) {
    known[name] = section
    draw()
  },
  onState(state) {
    // A relay that was started anew: what the one before said last is not true of it.
    if (state === 'live') delete known.ended
    live = state
    draw()
  },
})

function take(sample: Sample | undefined): void {
  if (sample === undefined) return
  lastSample = sample
  aheadMs = sample.atMs - Date.now()
}

function draw(): void {
  if (isDrawing) return
  isDrawing = true
  requestAnimationFrame(() => {
    isDrawing = false
    drawNow()
  })
}

const LIVE_WORDS: Readonly<Record<LiveState, string>> = {
  connecting: 'Connecting',
  live: 'Live',
  lost: 'Connection lost',
  ended: 'Relay ended',
}

function drawNow(): void {
  const { relay, slot, topics, deadLetters, facts, doctor, ended } = known
  const nowMs = Date.now() + aheadMs
  const state = ended ? 'ended' : live
  byId('live').dataset['state'] = state
  setText(byId('live-text'), LIVE_WORDS[state])

  const verdict = judge({ live, relay, slot, ended })
  byId('banner').dataset['state'] = verdict.state
  setText(byId('headline'), verdict.headline)
  setText(byId('explanation'), verdict.explanation)
  document.title = `${verdict.headline} · factlib relay`

  if (relay) {
    showTiles(ended || live !== 'live' ? 0 : (lastSample?.delivered ?? 0), relay)
    setText(byId('slot-name'), relay.slot)
    setText(byId('prefixes'), relay.prefixes.join(', '))
    setText(byId('version'), `factlib-relay ${relay.version}`)
    setText(
      byId('uptime'),
      `runs for ${formatSeconds(Math.round((nowMs - relay.startedAtMs) / 1_000)).replace('.0', '')}`,
    )
    if (deadLetters) showDeadLetters(deadLetters, nowMs, relay.mayRequeue)
  }
  showFaults(verdict.state === 'bad' && !ended ? (relay?.faults ?? []) : [])
  if (slot) showSlot(slot)
  if (topics) showTopics(topics, nowMs)
  if (facts) showFacts(facts)
  if (doctor) showDoctor(doctor, nowMs)
}
