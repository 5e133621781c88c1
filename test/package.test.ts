import { execFile } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from './setup/databases.ts'

const root = resolve(import.meta.dirname, '..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const run = promisify(execFile)

/** A directory in which the packed package is installed beside its dependencies. Optional peers are linked by the tests. */
let consumer = ''
let installed = ''

beforeAll(async () => {
  consumer = freshDirectory()
  installed = join(consumer, 'node_modules/holdfast')
  mkdirSync(installed, { recursive: true })
  await run('tar', ['-xzf', await pack(), '-C', installed, '--strip-components=1'])
  const required = Object.keys(manifest.peerDependencies).filter(
    (name) => !manifest.peerDependenciesMeta[name]?.optional,
  )
  link(...Object.keys(manifest.dependencies), ...required)
  writeFileSync(join(consumer, 'package.json'), '{"type": "module"}')
})

/** Packs a copy of the checkout, since packing builds `dist/` anew, and returns the path of the tarball. */
async function pack(): Promise<string> {
  const checkout = freshDirectory()
  const left = new Set(['node_modules', '.git', 'dist'])
  cpSync(root, checkout, { recursive: true, filter: (path) => path === root || !left.has(basename(path)) })
  symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'))
  const { stdout } = await run('npm', ['pack', '--silent'], { cwd: checkout })
  return join(checkout, stdout.trim())
}

/** Returns the files of the installed package whose path begins with `prefix`. */
function published(prefix: string): string[] {
  const files = readdirSync(installed, { recursive: true, withFileTypes: true, encoding: 'utf8' })
  return files
    .filter((entry) => entry.isFile())
    .map((entry) => relative(installed, join(entry.parentPath, entry.name)))
    .filter((path) => path.startsWith(prefix))
    .toSorted()
}

/** Installs dependencies for the consumer. */
function link(...names: string[]): void {
  for (const name of names) {
    const path = join(consumer, 'node_modules', name)
    rmSync(path, { force: true })
    symlinkSync(join(root, 'node_modules', name), path)
  }
}

/** Runs a program of the consumer and returns its output. The program finds only what is installed for the consumer. */
async function output(program: string): Promise<string> {
  writeFileSync(join(consumer, 'program.js'), program)
  const { stdout } = await run(process.execPath, ['--preserve-symlinks', 'program.js'], { cwd: consumer })
  return stdout.trim()
}

it('the package has every file that exports names', () => {
  for (const entry of Object.values<string | Record<string, string>>(manifest.exports)) {
    for (const file of typeof entry === 'string' ? [entry] : Object.values(entry)) {
      expect(existsSync(join(installed, file)), file).toBe(true)
    }
  }
})

it('the package has code, sources, migrations and documentation, and nothing else', () => {
  expect(readdirSync(installed).toSorted()).toEqual([
    'ARCHITECTURE.md',
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'dist',
    'docs',
    'migrations',
    'package.json',
    'src',
    'storage.schema.json',
  ])
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  expect(published('src/')).toEqual(
    sources
      .filter((path) => path.endsWith('.ts'))
      .map((path) => join('src', path))
      .toSorted(),
  )
  const documents = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  expect(published('docs/')).toEqual(documents.map((name) => join('docs', name)).toSorted())
})

it.each(['sqlite', 'postgres'])(
  'the package has the migrations of %s and their journal without the snapshots',
  (dialect) => {
    const folder = join('migrations', dialect)
    const journal = JSON.parse(readFileSync(join(installed, folder, 'meta/_journal.json'), 'utf8'))
    const tags: string[] = journal.entries.map(({ tag }: { tag: string }) => join(folder, `${tag}.sql`))
    expect(published(`${folder}/`)).toEqual([...tags, join(folder, 'meta/_journal.json')].toSorted())
  },
)

it('every declaration map leads to a published source', () => {
  const declarations = published('dist/').filter((path) => path.endsWith('.d.ts'))
  expect(declarations.length).toBeGreaterThan(10)
  for (const path of declarations) {
    const source = path.replace('dist/', 'src/').replace(/\.d\.ts$/, '.ts')
    const { sources } = JSON.parse(readFileSync(join(installed, `${path}.map`), 'utf8'))
    expect(
      sources.map((name: string) => join(dirname(path), name)),
      path,
    ).toEqual([source])
    expect(existsSync(join(installed, source)), source).toBe(true)
  }
})

it('the declarations of the main entry do not import drizzle', () => {
  const seen = new Set<string>()
  const outside = new Set<string>()
  const visit = (file: string) => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [, from, imported] of readFileSync(file, 'utf8').matchAll(/from '([^']+)'|import\("([^"]+)"\)/g)) {
      const target = from ?? imported ?? ''
      if (target.startsWith('.')) visit(join(dirname(file), target.replace(/\.ts$/, '.d.ts')))
      else outside.add(target)
    }
  }
  visit(join(installed, 'dist/index.d.ts'))
  expect(seen.size).toBeGreaterThan(10)
  expect([...outside].filter((name) => name.startsWith('drizzle'))).toEqual([])
})

/** The type tests of the public API. The others look behind it. */
const PROGRAMS = ['program', 'inputs', 'exact', 'generics', 'literals', 'errors', 'config', 'same'].map(
  (n) => `${n}.ts`,
)

/** Compiles files of the consumer without `skipLibCheck`, and returns what the compiler reports. */
async function compile(files: readonly string[]): Promise<string> {
  const flags = '--strict --exactOptionalPropertyTypes --target es2022 --module nodenext --types node'
  const output = ['--declaration', '--outDir', 'out', '--typeRoots', join(root, 'node_modules/@types')]
  const compiling = run(join(root, 'node_modules/.bin/tsc'), [...files, ...flags.split(' '), ...output], {
    cwd: consumer,
  })
  const { stdout }: { stdout: string } = await compiling.catch((error) => error)
  return stdout
}

it('the declarations serve a strict program that checks libraries, and every type they name can be imported', async () => {
  for (const name of PROGRAMS) copyFileSync(join(root, 'test/types', name), join(consumer, name))
  expect(await compile(PROGRAMS)).toBe('')
  const declared = readFileSync(join(consumer, 'out/program.d.ts'), 'utf8')
  const imported = [...declared.matchAll(/import\("([^"]+)"\)/g)].map(([, module]) => module)
  expect(new Set(imported)).toEqual(new Set(['holdfast', 'stream']))
})

it('the declarations of the other entries without tables serve such a program as well', async () => {
  const program = `
    import { configJsonSchema, maskSecrets, storageSchema, validateConfig } from 'holdfast/config'
    import { blobsContract, bytesContract, cacheContract, repositoryContract, withFaults } from 'holdfast/testing'
    export const config = [configJsonSchema(), maskSecrets({ a: 1 }), storageSchema, validateConfig({})]
    export const suites = { blobsContract, bytesContract, cacheContract, repositoryContract, withFaults }`
  writeFileSync(join(consumer, 'entries.ts'), program)
  expect(await compile(['entries.ts'])).toBe('')
})

it('openStorage() names the package to install if a driver is missing', async () => {
  const program = (config: string) => `
    import { openStorage } from 'holdfast'
    await openStorage(${config}).catch((error) => console.log(error.code, error.details.package))`
  expect(await output(program('{ database: { type: "sqlite", path: "x.db" } }'))).toBe('DRIVER_MISSING better-sqlite3')
  expect(await output(program('{ database: { type: "postgres", url: "postgres://u@localhost/d" } }'))).toBe(
    'DRIVER_MISSING postgres',
  )
})

it('openStorage() loads only the configured driver: PostgreSQL needs SQLite only for blobs in memory', async () => {
  link('postgres')
  const program = `
    import { openStorage } from 'holdfast'
    const storage = await openStorage({ database: { type: 'postgres', url: '${await freshPostgres()}' } })
    await storage.kv.set('a', { b: 1 })
    const failed = (await storage.maintain()).filter(({ error }) => error)
    const { blobs } = await storage.stats()
    const { ok } = await storage.health()
    const missing = await storage.blobs.list().catch(({ code, details }) => [code, details.package])
    console.log(JSON.stringify([await storage.kv.get('a'), failed, blobs.count, ok, missing]))
    await storage.close()`
  expect(JSON.parse(await output(program))).toEqual([{ b: 1 }, [], 0, true, ['DRIVER_MISSING', 'better-sqlite3']])
})

it('openStorage() needs only SQLite if nothing is configured', async () => {
  link('better-sqlite3', 'bindings', 'file-uri-to-path')
  const program = `
    import { openStorage } from 'holdfast'
    const storage = await openStorage()
    await storage.kv.set('a', { b: 1 })
    console.log(JSON.stringify(await storage.kv.get('a')))
    await storage.close()`
  expect(await output(program)).toBe('{"b":1}')
})

it('the package runs in CommonJS and in several worker threads on one file', async () => {
  link('better-sqlite3', 'bindings', 'file-uri-to-path')
  const worker = `
    const { openStorage } = require('holdfast')
    const { threadId } = require('node:worker_threads')
    async function main() {
      const storage = await openStorage({ database: { type: 'sqlite', path: 'threads.db' } })
      await storage.kv.set('thread ' + threadId, { b: threadId })
      console.log(JSON.stringify(await storage.kv.get('thread ' + threadId)))
      await storage.close()
    }
    main()`
  writeFileSync(join(consumer, 'worker.cjs'), worker)
  const program = `
    import { Worker } from 'node:worker_threads'
    for (let i = 0; i < 2; i++) new Worker(new URL('worker.cjs', import.meta.url))
    await import('./worker.cjs')`
  expect((await output(program)).split('\n').toSorted()).toEqual(['{"b":0}', '{"b":1}', '{"b":2}'])
})
