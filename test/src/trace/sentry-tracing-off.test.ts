import * as Sentry from '@sentry/node'
import { describeSentryTrace } from './sentry-contract.ts'

describeSentryTrace(Sentry, 'off')
