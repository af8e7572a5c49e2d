// `npm run demo`: the whole of it on this machine, on a fresh clone. `npm run demo -- --keep` leaves it running until Ctrl-C.
import { ensureInstalled } from './ensure-installed.mjs'

const unknown = process.argv.slice(2).filter((argument) => argument !== '--keep')
if (unknown.length > 0) fail(`unknown argument ${unknown[0]}: there is --keep`)
try {
  await ensureInstalled()
} catch (error) {
  fail(error.message)
}
const { register } = await import('tsx/esm/api')
register()
const { runDemo } = await import('../examples/demo/main.ts')
process.exit(await runDemo({ keep: process.argv.includes('--keep') }))

function fail(why) {
  console.error(`demo failed: ${why}`)
  process.exit(1)
}
