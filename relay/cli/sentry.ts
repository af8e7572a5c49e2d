import { ConfigurationError } from '../../src/errors.ts'
import type { ProduceTracer } from '../../src/trace/produce-trace.ts'
import { type SentryQueueLike, sentryRelay } from '../../src/trace/sentry.ts'

/** By a name that no bundler or reader of imports sees: whoever does not ask for it does not need it. */
const SENTRY = '@sentry/node'

interface SentrySdk extends SentryQueueLike {
  getClient(): unknown
  init(options: object): unknown
  close(timeoutMs: number): PromiseLike<boolean>
}

export interface SentryTracer extends ProduceTracer {
  /** Sends what is left, within 2 s. */
  close(): Promise<void>
}

/**
 * Loads Sentry and sets it up from its own variables, unless it is (`node --import ./instrument.mjs`).
 *
 * @throws ConfigurationError when it is not installed, or nobody says where to send.
 */
export async function loadSentryTracer(env: NodeJS.ProcessEnv): Promise<SentryTracer> {
  let sdk: SentrySdk
  try {
    sdk = (await import(SENTRY)) as SentrySdk
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new ConfigurationError([`RELAY_SENTRY: ${SENTRY} is not installed (npm install ${SENTRY})`], { cause: error })
  }
  if (sdk.getClient() === undefined) {
    if (!env['SENTRY_DSN'])
      throw new ConfigurationError(['RELAY_SENTRY: SENTRY_DSN is not set, nor is Sentry set up otherwise'])
    // Only what the relay does is traced: the SDK's own instruments would show each byte that goes through Kafka's client.
    sdk.init({ defaultIntegrations: false })
  }
  return {
    ...sentryRelay(sdk),
    close: async () => {
      await sdk.close(2_000)
    },
  }
}
