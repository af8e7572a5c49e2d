// Stands in for the programs of the guide that are not ours, as far as the guide uses them: `psql URL -qAtc SQL` and `curl -s URL`.
import pg from 'pg'

const [tool, ...args] = process.argv.slice(2)

if (tool === 'psql') {
  const [url, flags, sql] = args
  if (flags !== '-qAtc' || sql === undefined) throw new Error('only: psql URL -qAtc SQL')
  const asText = { getTypeParser: () => (text) => text }
  const client = new pg.Client({ connectionString: url, types: asText, application_name: 'psql' })
  await client.connect()
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' })
    for (const row of rows) console.log(row.map((value) => value ?? '').join('|'))
  } catch (error) {
    console.log(`ERROR:  ${error.message}`)
    process.exitCode = 1
  } finally {
    await client.end()
  }
} else if (tool === 'curl') {
  if (args[0] !== '-s' || args.length !== 2) throw new Error('only: curl -s URL')
  const url = /^http/.test(args[1]) ? args[1] : `http://${args[1]}`
  console.log(await (await fetch(url)).text())
} else throw new Error(`no such tool: ${tool}`)
