import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { createLiveView } from '../../../relay/cli/live-view.ts'
import { setup } from '../../../relay/cli/setup.ts'
import { parseRelayOptions } from '../../../relay/config/settings.ts'
import { createDeferred } from '../../../relay/deferred.ts'
import { silentObserver } from '../../../relay/observer.ts'
import { createLogger } from '../../../relay/ops/logger.ts'
import { createRelayFromSettings } from '../../../relay/relay.ts'
import { registerCleanup } from '../../support/cleanup.ts'
import { waitFor } from '../../support/wait.ts'
import { optionsOf } from '../doctor/broken-setup.ts'
import { createBench } from '../relay-bench.ts'
import { captureTerminal } from './captured-terminal.ts'

/** What a terminal of 100 columns is sent. */
function fakeTerminal() {
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 100, rows: 30 })
  let text = ''
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text }
}

it('shows the backlog with the time left, then phase, rate, lag and Kafka; log lines go above; stopped, it is gone', {
  timeout: 120_000,
}, async () => {
  const bench = await createBench()
  const settings = parseRelayOptions(optionsOf(bench), { env: {} })
  await setup(settings, {}, captureTerminal())
  await bench.topics({ topic: 'order' })
  const payload = Buffer.alloc(50_000, 'x')
  for (let id = 0; id < 100; id++) await bench.commit({ aggregateId: `o-${id}`, payload })

  const { stream, text } = fakeTerminal()
  const view = createLiveView(settings, stream)
  const logger = createLogger({ level: 'info', stream: view.logStream })
  // Half of it passes; the rest waits until the bar was seen.
  const rest = createDeferred<void>()
  let handed = 0
  const relay = createRelayFromSettings(settings, {
    logger,
    observer: view.observe(silentObserver),
    routes: [{ handle: () => (++handed > 50 ? rest.promise : undefined) }],
  })
  registerCleanup(() => relay.stop())
  registerCleanup(() => view.stop())
  view.start(relay)
  await waitFor(() => /backlog \[[#-]+\] \d+ %/.test(text()), { what: 'the bar', timeoutMs: 30_000 })
  await relay.start()
  await waitFor(() => /\d % {2}[\d.]+ \w+ of 4\.\d MiB {2}[\d.]+ s left/.test(text()), {
    what: 'the time left',
    timeoutMs: 30_000,
  })
  await waitFor(() => /lag [\d.]+ \w+, (?:(?:[2-9]|\d\d)[\d.]* s {2}|\d+ min)/.test(text()), {
    what: 'the age of what waits',
    timeoutMs: 30_000,
  })
  rest.resolve()
  await bench.whenAllConfirmed(relay)
  await waitFor(() => /the backlog is worked off, in \d+ s/.test(text()), {
    what: 'the end of the backlog',
    timeoutMs: 30_000,
  })
  await waitFor(() => /streaming {2}\d+ facts\/s {2}lag [\d.]+ \w+.* {2}Kafka ok/.test(text()), {
    what: 'the live line',
    timeoutMs: 30_000,
  })
  expect(text()).toMatch(/\d\d:\d\d:\d\d info {2}streaming slot=/)
  expect(text()).not.toContain('{"level"')
  // Neither hidden cursor nor changed wrapping: a kill leaves the terminal as it was.
  for (const mode of ['25l', '7l']) expect(text()).not.toContain(`\u001b[?${mode}`)
  await relay.stop()
  view.stop()
  const before = text().length
  logger.info({}, 'afterwards')
  expect(text().slice(before)).toMatch(/afterwards\n$/)
})
