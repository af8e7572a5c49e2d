// Writes docs/transaction-safety.md from what the contract tests have recorded; a test fails while it is out of date.
import { mkdirSync, writeFileSync } from 'node:fs'
import { readSafetyResults, renderSafetyDoc } from '../test/contracts/safety-doc.ts'

const docs = new URL('../docs/', import.meta.url)
mkdirSync(docs, { recursive: true })
writeFileSync(new URL('transaction-safety.md', docs), renderSafetyDoc(readSafetyResults()))
