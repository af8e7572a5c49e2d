import type { KafkaTarget, RelayLogger } from './types.ts'

/** In `createTopics`: what the brokers have as their default. */
export const BROKER_DEFAULT = -1

/** Logs that a topic was made, with those of its numbers that we gave. */
export function sayCreated(
  logger: RelayLogger,
  topic: string,
  { createTopics }: Pick<KafkaTarget, 'createTopics'>,
): void {
  const given = Object.entries(createTopics ?? {}).filter(([, value]) => value !== BROKER_DEFAULT)
  logger.info({ topic, ...Object.fromEntries(given) }, 'created the topic')
}
