// Every script of this folder, one after the other, each in a process of its own.
//   npx tsx bench/emit/all.mts [--write]
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

for (const script of ['pg', 'drizzle', 'prisma', 'sequelize', 'first-write']) {
  const path = fileURLToPath(new URL(`${script}.mts`, import.meta.url))
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', path, ...process.argv.slice(2)], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(status ?? 1)
}
