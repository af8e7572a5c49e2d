import { expect, it } from 'vitest'
import type { Entry } from '../../relay/entry.ts'
import { Intake } from '../../relay/intake.ts'
import { toLsn } from '../../relay/lsn.ts'
import { silentObserver } from '../../relay/observer.ts'
import { interpretMessage } from '../../relay/record.ts'
import type { SourceSession } from '../../relay/source/source.ts'
import { Window } from '../../relay/window.ts'
import { encodeFact, Fact } from '../../src/index.ts'

const session = { systemId: 1n, startLsn: toLsn(1n), confirm() {}, pause() {} } as unknown as SourceSession
const content = Buffer.from(encodeFact(new Fact({ aggregateType: 'thing', aggregateId: '1', eventType: 'e' })))

/** What a relay of these prefixes makes of one stream. */
function positionsOf(prefixes: readonly string[]): string[] {
  const entries: Entry[] = []
  const intake = new Intake({
    window: new Window({ facts: 100, bytes: 1e6 }, { pause() {}, resume() {} }),
    destination: { push: (entry) => entries.push(entry), dropUnsent() {} },
    observer: silentObserver,
    accepts: (prefix) => prefixes.includes(prefix),
    interpret: interpretMessage,
    onStarted() {},
    onHalt() {},
    onServerStopping() {},
    onDurable() {},
  })
  intake.onStart(session)
  intake.onMessage(false, toLsn(0x10n), 'a', content)
  intake.onBegin(toLsn(0x20n), 1n)
  for (const prefix of ['a', 'b', 'a', 'b', 'a']) intake.onMessage(true, toLsn(0x18n), prefix, content)
  intake.onCommit(toLsn(0x28n))
  intake.onBegin(toLsn(0x30n), 1n)
  intake.onMessage(true, toLsn(0x2cn), 'a', content)
  intake.onCommit(toLsn(0x38n))
  return entries.map(({ prefix, unitLsn, indexInUnit, transactional }) =>
    [prefix, unitLsn.toString(16), transactional ? indexInUnit : 'alone'].join(' '),
  )
}

it('gives a fact the same position whatever prefixes the relay is set to: they may change between two starts', () => {
  const both = positionsOf(['a', 'b'])
  expect(both).toEqual(['a 10 alone', 'a 20 0', 'b 20 1', 'a 20 2', 'b 20 3', 'a 20 4', 'a 30 0'])
  for (const prefix of ['a', 'b'])
    expect(positionsOf([prefix])).toEqual(both.filter((position) => position.startsWith(prefix)))
})
