import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { registerCleanup } from '../support/cleanup.ts'
import { ROOT } from '../support/process.ts'

/** Where the programs of test/fixtures/package run: one folder each for ES modules and CommonJS, over one node_modules. */
export interface PackedPackage {
  /** What was packed, as it was built. */
  readonly folder: string
  readonly tarball: string
  /** Has factlib and its dependencies only, until `installPeers`. */
  readonly project: string
  readonly esm: string
  readonly cjs: string
}

export interface Ran {
  readonly stdout: string
  readonly stderr: string
}

/** Builds into a folder of its own, packs, and installs the tarball into a new project; removed at the end of the file. */
export async function packAndInstall(): Promise<PackedPackage> {
  const home = await mkdtemp(join(tmpdir(), 'factlib-package-'))
  registerCleanup(() => rm(home, { recursive: true, force: true }))
  const folder = join(home, 'package')
  await mkdir(folder)
  const { files } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { files: string[] }
  for (const name of ['package.json', ...files.filter((file) => file !== 'dist')]) {
    await cp(join(ROOT, name), join(folder, name), { recursive: true })
  }
  await run(process.execPath, [join(ROOT, 'node_modules/tsup/dist/cli-default.js')], ROOT, {
    FACTLIB_BUILD_DIR: join(folder, 'dist'),
  })
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts'], folder)
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
  const tarball = join(folder, filename)

  const project = join(home, 'project')
  const [esm, cjs] = [join(project, 'esm'), join(project, 'cjs')]
  for (const path of [esm, cjs]) await cp(join(ROOT, 'test/fixtures/package'), path, { recursive: true })
  await writeFile(join(project, 'package.json'), '{ "private": true }')
  await writeFile(join(esm, 'package.json'), '{ "type": "module" }')
  await writeFile(join(cjs, 'package.json'), '{ "type": "commonjs" }')
  await install(project, [tarball])
  return { folder, tarball, project, esm, cjs }
}

/** Installs by npm's own cache where it can; no script of any package runs. */
export async function install(project: string, packages: readonly string[]): Promise<void> {
  await run('npm', ['install', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', ...packages], project)
}

/** @throws with all that it wrote, when it does not exit with 0 */
export async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  try {
    const given = { ...process.env, NODE_ENV: undefined, NODE_OPTIONS: undefined, ...env }
    return await promisify(execFile)(command, [...args], { cwd, env: given, maxBuffer: 64 * 1024 * 1024 })
  } catch (error) {
    const { stdout, stderr, code } = error as Ran & { code: unknown }
    throw new Error(`${command} ${args.join(' ')} exited with ${code}\n${stdout}${stderr}`, { cause: error })
  }
}

/** The compiler of this checkout on one program; resolves to its complaints, empty when it has none. */
export async function typeCheck(
  folder: string,
  files: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<string> {
  const config = join(folder, `tsconfig.${String(options['moduleResolution'])}.json`)
  const compilerOptions = {
    target: 'ES2022',
    lib: ['ES2023'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(ROOT, 'node_modules/@types')],
    ...options,
  }
  await writeFile(config, JSON.stringify({ compilerOptions, files }))
  try {
    await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', config], folder)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

/** Makes packages of this checkout known to the programs of a folder. */
export async function linkPackages(folder: string, packages: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, target] of Object.entries(packages)) {
    const link = join(folder, 'node_modules', name)
    await mkdir(join(link, '..'), { recursive: true })
    await symlink(target, link)
  }
}

/** Bytes that a folder takes on a disk, as `du` counts them: whole blocks, folders too. */
export async function diskUsage(folder: string): Promise<number> {
  let blocks = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const size = entry.isFile() ? (await stat(join(entry.parentPath, entry.name))).size : BLOCK
    blocks += Math.ceil(size / BLOCK)
  }
  return blocks * BLOCK
}

const BLOCK = 4096
