// `node --import tsx scripts/idle.ts [--minutes 10] [--client platformatic]`: a relay with nothing to do, on real servers, asked once a
// second whether it is ready. Ends with the count of answers and the share of a core that it took; exit code 1 when one was not 200.
import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createChaosBench, startChaosServers } from '../test/support/chaos.ts'
import { runCleanups } from '../test/support/cleanup.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, client: { type: 'string', default: 'kafkajs' } },
})
process.env['FACTLIB_CHAOS_CLIENT'] = values.client
process.exitCode = await run(Number(values.minutes)).finally(runCleanups)
process.exit()

async function run(minutes: number): Promise<number> {
  const bench = await createChaosBench(await startChaosServers())
  const relay = bench.startRelay()
  await relay.whenStreaming()
  const { healthPort } = JSON.parse(await relay.whenLine('factlib-relay starts')) as { healthPort: number }
  const cpuBefore = await cpuSeconds(relay.pid)
  const answers = new Map<string, number>()
  const sinceMs = performance.now()
  while (performance.now() - sinceMs < minutes * 60_000) {
    const response = await fetch(`http://127.0.0.1:${healthPort}/readyz`)
    const answer = `${response.status} ${await response.text()}`
    if (response.status !== 200) console.log(`after ${Math.round((performance.now() - sinceMs) / 1_000)} s: ${answer}`)
    answers.set(answer, (answers.get(answer) ?? 0) + 1)
    await pause(1_000)
  }
  const seconds = (performance.now() - sinceMs) / 1_000
  const share = (((await cpuSeconds(relay.pid)) - cpuBefore) / seconds) * 100
  const { code } = await relay.stop()
  console.log(`${values.client}: ${seconds.toFixed(0)} s idle, ${share.toFixed(2)} % of a core, then exit ${code}`)
  for (const [answer, count] of answers) console.log(`${count} × ${answer}`)
  return answers.size === 1 && answers.has('200 OK') && code === 0 ? 0 : 1
}

/** User and system time; clock ticks of 10 ms. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}
