import { expect, it } from 'vitest'
import { silentLogger } from '../../relay/observer.ts'
import { sayCreated } from '../../relay/topic-creation.ts'

it('says of a topic that was made what we asked for, not what we left to the brokers', () => {
  const said: object[] = []
  const logger = { ...silentLogger, info: (fields: object) => void said.push(fields) }
  sayCreated(logger, 't', { createTopics: { partitions: -1, replicationFactor: -1 } })
  sayCreated(logger, 't', { createTopics: { partitions: 6, replicationFactor: -1 } })
  expect(said).toEqual([{ topic: 't' }, { topic: 't', partitions: 6 }])
})
