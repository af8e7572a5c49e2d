import { expect, onTestFinished, test, vi } from 'vitest'
import { chooseContestants, listContestants } from '../../bench/relay/contestants.mts'
import { secondsInKafka } from '../../bench/relay/kafka-ends.mts'
import { resultTable } from '../../bench/relay/table.mts'

function list(owlPost: string) {
  vi.stubEnv('OWLPOST', owlPost)
  onTestFinished(() => {
    vi.unstubAllEnvs()
  })
  return listContestants('node24')
}

test('what must be fetched takes part only when it is named', () => {
  const names = (choice: { only?: string; also?: string }) =>
    chooseContestants(list(''), choice).map(({ name }) => name)
  expect(names({})).not.toContain('Debezium')
  expect(names({})).not.toContain('pg-transactional-outbox')
  expect(names({ also: 'debezium' })).toEqual([...names({}), 'Debezium'])
  expect(names({ only: 'debezium,Producer-Performance' })).toEqual(['ProducerPerformance', 'Debezium'])
  expect(() => names({ only: 'debezum' })).toThrow('no contestant is called debezum')
})

test('OwlPost takes part where its binary is named', () => {
  expect(list('').some(({ name }) => name === 'OwlPost')).toBe(false)
  expect(chooseContestants(list('/opt/owlpost'), {}).find(({ name }) => name === 'OwlPost')?.binary).toBe(
    '/opt/owlpost',
  )
})

test('the span in Kafka is from the first record of this run to its last', async () => {
  const nowMs = Date.now()
  const times = [nowMs - 9_000, nowMs - 4_000, nowMs - 3_999, nowMs - 1_500]
  const recordsSince = async (ms: number) => times.filter((time) => time >= ms).length
  expect(await secondsInKafka({ recordsSince }, nowMs - 5_000)).toBe(2.5)
})

test('ratios are paired within a round, to other programs by the span in Kafka', () => {
  const result = (seconds: number, kafkaSeconds: number) => ({
    seconds,
    kafkaSeconds,
    cpuMicrosPerFact: 10,
    rssMegabytes: 100,
  })
  const contestants = chooseContestants(list(''), { only: 'relay,debezium' })
  const rows = resultTable(
    contestants,
    new Map([
      ['relay', [result(2, 1), result(4, 3)]],
      ['Debezium', [result(3, 3), result(3, 3)]],
    ]),
    6,
  )
  expect(rows.map((row) => [row['contestant'], row['facts/s'], row['× Debezium']])).toEqual([
    ['relay', 2, '2.00'],
    ['Debezium', 2, '1.00'],
  ])
  expect(Object.keys(rows[0] ?? {})).not.toContain('× OwlPost')
})
