import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import { buildPage } from '../../scripts/build-page.ts'
import { freshDirectory } from './databases.ts'

const root = resolve(import.meta.dirname, '../..')

const drivers = ['better-sqlite3', 'postgres', 'ioredis', 'yaml', 'file-type', 'mime']
const entries = {
  index: 'index',
  'config/index': 'config',
  'studio/index': 'studio',
  'testing/index': 'testing',
  'adapters/dexto': 'dexto',
  'adapters/messages': 'messages',
}

let built: Promise<string> | undefined

/**
 * Builds the package as it is published, but for its declarations and the adapters that import a framework. Built once in
 * this process.
 */
export function builtPackage(): Promise<string> {
  built ??= buildPackage()
  return built
}

async function buildPackage(): Promise<string> {
  const outdir = freshDirectory()
  const common = {
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    absWorkingDir: root,
  } as const
  const sources = Object.keys(entries).map((entry) => [entry, `src/${entry}.ts`])
  await build({ ...common, entryPoints: Object.fromEntries(sources), external: drivers })
  const tables = { 'schema/sqlite': 'src/schema/sqlite.ts', 'schema/postgres': 'src/schema/postgres.ts' }
  await build({ ...common, entryPoints: tables, external: ['drizzle-orm'] }) // the tables are of the program's drizzle
  await buildPage(join(outdir, 'studio/page'))
  const names = [...Object.entries(entries), ...Object.keys(tables).map((entry) => [entry, entry] as const)]
  const exports = names.map(([file, name]) => [name === 'index' ? '.' : `./${name}`, `./${file}.js`])
  writeFileSync(join(outdir, 'package.json'), JSON.stringify({ type: 'module', exports: Object.fromEntries(exports) }))
  return outdir
}

/** Returns a directory like a user's project: the built package and its peers are installed. */
export async function freshInstallation(): Promise<string> {
  const directory = freshDirectory()
  const modules = join(directory, 'node_modules')
  mkdirSync(modules)
  for (const name of readdirSync(join(root, 'node_modules')))
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  symlinkSync(await builtPackage(), join(modules, 'holdfast'))
  writeFileSync(join(directory, 'package.json'), '{"type": "module"}')
  return directory
}
