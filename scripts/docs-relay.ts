// Writes the documents that are made from the relay's tables; a test fails while they are out of date.
import { mkdirSync, writeFileSync } from 'node:fs'
import { renderOptionsDoc } from '../relay/config/options-doc.ts'
import { renderMetricsDoc } from '../relay/ops/metrics-doc.ts'

const docs = new URL('../docs/', import.meta.url)
mkdirSync(docs, { recursive: true })
writeFileSync(new URL('options.md', docs), renderOptionsDoc())
writeFileSync(new URL('metrics.md', docs), renderMetricsDoc())
