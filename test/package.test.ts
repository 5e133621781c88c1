import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, it } from 'vitest'
import { type Consumer, freshConsumer, manifest, root } from './setup/consumer.ts'

const run = promisify(execFile)

let consumer = ''
let installed = ''
let published: Consumer['published']

beforeAll(async () => {
  ;({ directory: consumer, installed, published } = await freshConsumer())
})

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
      .filter((path) => path.endsWith('.ts') && !path.includes('node_modules') && !path.includes('studio/page'))
      .map((path) => join('src', path))
      .toSorted(),
  )
  const documents = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    /^(?:[\w-]+\.md|images\/[\w-]+\.png)$/.test(name),
  )
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

it('every source map of our code leads to a published source', () => {
  const maps = published('dist/').filter((path) => path.endsWith('.js.map'))
  expect(maps.length).toBeGreaterThan(5)
  for (const path of maps) {
    const { sources } = JSON.parse(readFileSync(join(installed, path), 'utf8'))
    for (const source of sources.map((name: string) => join(dirname(path), name))) {
      if (source.startsWith('node_modules/')) continue // of a package that is in the bundle
      expect(existsSync(join(installed, source)), `${path}: ${source}`).toBe(true)
    }
  }
})

it('the licenses of the packages in the bundle are published', () => {
  const licenses = readFileSync(join(installed, 'dist/LICENSES.txt'), 'utf8')
  const names = Array.from(licenses.matchAll(/^(\S+) [\d.]+ \(.+\)$/gm), ([, name]) => name)
  expect(names).toEqual(['drizzle-orm', 'lru-cache', 'zod'])
})

it('the bundle has the functions of zod without its methods, and English alone', () => {
  const maps = published('dist/').filter((path) => path.endsWith('.js.map'))
  const sources = maps.flatMap((path) => JSON.parse(readFileSync(join(installed, path), 'utf8')).sources as string[])
  const ofZod = new Set(sources.flatMap((path) => /\/zod\/v4\/(mini|classic|locales\/.*)/.exec(path)?.slice(1) ?? []))
  expect([...ofZod].sort()).toEqual(['locales/en.js', 'mini'])
})

/** Returns the files that importing a file of `dist/` loads at once, and the packages that these files import. */
function loadedBy(entry: string): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: string) => {
    if (files.has(file)) return
    files.add(file)
    for (const [, from, alone] of readFileSync(join(installed, file), 'utf8').matchAll(
      /^(?:import|export|\}).*? from "([^"]+)";$|^import "([^"]+)";$/gm,
    )) {
      const imported = from ?? alone ?? ''
      if (imported.startsWith('.')) visit(join(dirname(file), imported))
      else packages.add(imported)
    }
  }
  visit(entry)
  return { files, packages }
}

it('an entry loads few files, and no package that was not asked for', () => {
  const { files, packages } = loadedBy('dist/index.js')
  expect(files.size).toBeLessThanOrEqual(10)
  expect([...packages].filter((name) => !isBuiltin(name))).toEqual([])
  expect([...packages].filter((name) => /^(?:node:)?https?$/.test(name))).toEqual([]) // only a bucket needs them, and they take long to load
  expect([...loadedBy('dist/testing/index.js').packages].filter((name) => !isBuiltin(name))).toEqual([])
  expect([...loadedBy('dist/config/index.js').packages]).toEqual([]) // it runs in a browser too
  for (const [entry, core] of [
    ['sqlite', 'sqlite-core'],
    ['postgres', 'pg-core'],
  ]) {
    expect(loadedBy(`dist/schema/${entry}.js`).packages).toEqual(new Set(['drizzle-orm', `drizzle-orm/${core}`]))
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

it('no declaration names a type of Node whose parameters differ between versions of @types/node', () => {
  const declarations = published('dist/').filter((path) => path.endsWith('.d.ts'))
  const naming = declarations.filter((path) => readFileSync(join(installed, path), 'utf8').includes('TracingChannel'))
  expect([declarations.length > 100, naming]).toEqual([true, []]) // 26 has the parameters of TracingChannel the other way round
})

it('no declaration gives Uint8Array a parameter, which TypeScript before 5.7 does not know', () => {
  const declarations = published('dist/').filter((path) => path.endsWith('.d.ts'))
  const naming = declarations.filter((path) => /Uint8Array</.test(readFileSync(join(installed, path), 'utf8')))
  expect([declarations.length > 100, naming]).toEqual([true, []])
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
