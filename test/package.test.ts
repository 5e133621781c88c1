import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from './setup/databases.ts'

const root = resolve(import.meta.dirname, '..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const run = promisify(execFile)

/** A directory in which the package is installed as it would be published, beside the peers named. */
let consumer = ''
let installed = ''

beforeAll(async () => {
  consumer = freshDirectory()
  installed = join(consumer, 'node_modules/holdfast')
  mkdirSync(installed, { recursive: true })
  await run(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json', '--outDir', join(installed, 'dist')], {
    cwd: root,
  })
  for (const name of ['package.json', 'migrations', 'storage.schema.json']) {
    symlinkSync(join(root, name), join(installed, name))
  }
  link(...Object.keys(manifest.dependencies))
  writeFileSync(join(consumer, 'package.json'), '{"type": "module"}')
})

function link(...names: string[]): void {
  for (const name of names) symlinkSync(join(root, 'node_modules', name), join(consumer, 'node_modules', name))
}

/** What a program of the consumer prints. Nothing may be found but what is installed there. */
async function output(program: string): Promise<string> {
  writeFileSync(join(consumer, 'program.js'), program)
  const { stdout } = await run(process.execPath, ['--preserve-symlinks', 'program.js'], { cwd: consumer })
  return stdout.trim()
}

it('every entry of exports is there', () => {
  for (const entry of Object.values<string | Record<string, string>>(manifest.exports)) {
    for (const file of typeof entry === 'string' ? [entry] : Object.values(entry)) {
      expect(existsSync(join(installed, file)), file).toBe(true)
    }
  }
})

it('keeps drizzle out of the declarations of its main entry', () => {
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

it('takes what a strict program gives it', async () => {
  const types = ['inputs.ts', 'exact.ts']
  for (const name of types) copyFileSync(join(root, 'test/types', name), join(consumer, name))
  const flags =
    '--noEmit --strict --exactOptionalPropertyTypes --skipLibCheck --target es2023 --module nodenext --types node'
  const typeRoots = ['--lib', 'es2023,esnext.disposable', '--typeRoots', join(root, 'node_modules/@types')]
  const compiling = run(join(root, 'node_modules/.bin/tsc'), [...types, ...flags.split(' '), ...typeRoots], {
    cwd: consumer,
  })
  await expect(compiling.catch(({ stdout }) => stdout)).resolves.toMatchObject({ stdout: '' })
})

it('names the package to install where a driver is missing', async () => {
  const program = (config: string) => `
    import { openStorage } from 'holdfast'
    await openStorage(${config}).catch((error) => console.log(error.code, error.details.package))`
  expect(await output(program('{ database: { type: "sqlite", path: "x.db" } }'))).toBe('DRIVER_MISSING better-sqlite3')
  expect(await output(program('{ database: { type: "postgres", url: "postgres://u@localhost/d" } }'))).toBe(
    'DRIVER_MISSING postgres',
  )
})

it('loads only the driver that is configured: PostgreSQL needs SQLite only for blobs in memory', async () => {
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

it('needs SQLite alone where nothing is configured', async () => {
  link('better-sqlite3', 'bindings', 'file-uri-to-path')
  const program = `
    import { openStorage } from 'holdfast'
    const storage = await openStorage()
    await storage.kv.set('a', { b: 1 })
    console.log(JSON.stringify(await storage.kv.get('a')))
    await storage.close()`
  expect(await output(program)).toBe('{"b":1}')
})
