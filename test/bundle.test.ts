import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { build, type Format } from 'esbuild'
import { beforeAll, expect, it } from 'vitest'
import { blocks } from './docs/pages.ts'
import { emptyPostgres, freshDirectory } from './setup/databases.ts'
import { unpackInto } from './setup/packed.ts'

const root = resolve(import.meta.dirname, '..')
const DRIVERS = ['better-sqlite3', 'postgres', 'ioredis']

/** A directory in which the packed package is installed with its dependencies, and without the drivers and drizzle. */
let sources = ''

beforeAll(async () => {
  sources = freshDirectory()
  const installed = join(sources, 'node_modules/holdfast')
  await unpackInto(installed)
  const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  for (const name of Object.keys(dependencies)) {
    symlinkSync(join(root, 'node_modules', name), join(sources, 'node_modules', name))
  }
})

/** Returns a directory that has only the drivers, and a configuration file. */
function deployment(): string {
  const directory = freshDirectory()
  mkdirSync(join(directory, 'node_modules'))
  for (const name of [...DRIVERS, 'bindings', 'file-uri-to-path', 'standard-as-callback']) {
    symlinkSync(join(root, 'node_modules', name), join(directory, 'node_modules', name))
  }
  writeFileSync(join(directory, 'agent.yml'), 'storage: { database: { type: sqlite, path: ./data/agent.db } }')
  return directory
}

/** Bundles a program with Holdfast and runs the bundle in a deployment. Returns its output. */
async function bundled(format: Format, program: string, banner = ''): Promise<string> {
  const directory = deployment()
  const outfile = join(directory, format === 'esm' ? 'program.mjs' : 'program.cjs')
  await build({
    stdin: { contents: program, resolveDir: sources, loader: 'ts' },
    bundle: true,
    platform: 'node',
    format,
    outfile,
    external: DRIVERS,
    banner: { js: banner },
    logLevel: 'silent',
  })
  const { stdout } = await promisify(execFile)(process.execPath, [outfile], { cwd: directory })
  return stdout.trim()
}

/** Gives an ESM bundle the `require` that CommonJS packages inside the bundle call. */
const REQUIRE =
  "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);"

/** Returns a program that migrates a database, writes to it and reads from it. */
const programOn = (database: string) => `
  import { openStorage } from 'holdfast'
  async function main() {
    const storage = await openStorage({ database: ${database} })
    await storage.kv.set('a', { b: 1 })
    console.log(JSON.stringify(await storage.kv.get('a')))
    await storage.close()
  }
  main()`

it.each<[Format]>([['esm'], ['cjs']])('a program bundled as %s migrates SQLite, writes and reads', async (format) => {
  const program = programOn("{ type: 'sqlite', path: 'data/agent.db' }")
  expect(await bundled(format, program)).toBe('{"b":1}')
})

it.each<[Format, string]>([
  ['esm', REQUIRE],
  ['cjs', ''],
])('a program bundled as %s reads a configuration file and stores a blob', async (format, banner) => {
  const program = `
    import { openStorageFromFile } from 'holdfast'
    async function main() {
      const storage = await openStorageFromFile('agent.yml')
      const { mimeType } = await storage.blobs.put(Buffer.from('%PDF-1.7'))
      console.log(mimeType)
      await storage.close()
    }
    main()`
  expect(await bundled(format, program, banner)).toBe('application/pdf')
})

it.each<[Format]>([['esm'], ['cjs']])(
  'a program bundled as %s migrates PostgreSQL, writes and reads',
  async (format) => {
    const program = programOn(`{ type: 'postgres', url: '${await emptyPostgres()}' }`)
    expect(await bundled(format, program)).toBe('{"b":1}')
  },
)

it('holdfast/config can be bundled for a browser', async () => {
  const { errors, outputFiles } = await build({
    stdin: { contents: "export { validateConfig } from 'holdfast/config'", resolveDir: sources },
    bundle: true,
    platform: 'browser',
    format: 'esm',
    write: false,
    logLevel: 'silent',
  })
  expect(errors).toEqual([])
  expect(outputFiles[0]?.text).not.toMatch(/from "(?:node:|drizzle)/)
})

it('the command of docs/runtimes.md bundles a program of these pages, which reads a file and stores a blob', async () => {
  const program = `
    import { openStorageFromFile } from 'holdfast'
    await using storage = await openStorageFromFile('agent.yml')
    console.log((await storage.blobs.put(Buffer.from('%PDF-1.7'))).mimeType)`
  writeFileSync(join(sources, 'program.ts'), program)
  const command = blocks('docs/runtimes.md', 'sh').find(({ code }) => code.startsWith('esbuild '))?.code ?? ''
  const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}` }
  await promisify(execFile)('sh', ['-c', command], { cwd: sources, env })

  const directory = deployment()
  copyFileSync(join(sources, 'program.mjs'), join(directory, 'program.mjs'))
  const { stdout } = await promisify(execFile)(process.execPath, ['program.mjs'], { cwd: directory })
  expect(stdout.trim()).toBe('application/pdf')
})
