// Writes test/support/services/kafka/jars.json anew after kafka/pom.xml changed: npx tsx scripts/kafka-jars.ts
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { JAR_LIST, listJarsWithMaven } from '../test/support/services/kafka-jars.ts'

const target = await mkdtemp(join(tmpdir(), 'factlib-kafka-jars-'))
try {
  const list = await listJarsWithMaven(target)
  await writeFile(JAR_LIST, `${JSON.stringify(list, undefined, 2)}\n`)
  console.log(`${Object.keys(list).length} jars`)
} finally {
  await rm(target, { recursive: true })
}
