/**
 * Builds dist/: declarations with tsc, code with esbuild. drizzle, zod and lru-cache are in the code, without the parts that
 * nobody uses: loading drizzle's hundreds of modules takes longer than everything else at the start of a program. The tables
 * in `holdfast/schema/*` import the program's own drizzle, which has to join with them.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { buildPage } from './build-page.ts'

const root = resolve(import.meta.dirname, '..')
const outdir = join(root, 'dist')

const common = {
  absWorkingDir: root,
  outdir,
  bundle: true,
  splitting: true, // one copy of each class in all entries, StorageError above all
  format: 'esm',
  platform: 'node',
  target: 'node20.19', // as in package.json
  charset: 'utf8',
  chunkNames: 'chunks/[name]-[hash]',
  sourcemap: true,
  sourcesContent: false, // src/ is published
  preserveSymlinks: true, // node_modules may be a link: the maps name its files as if it were none
  metafile: true,
} satisfies BuildOptions

/** What a program loads only if it asks for it, and what it installs itself. */
const external = ['better-sqlite3', 'postgres', 'ioredis', 'yaml', 'file-type', 'mime']

/** Takes what `testing/` and `adapters/` need from the rest out of the main entry, so that there is one copy of it. */
const throughMainEntry: Plugin = {
  name: 'through-main-entry',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.\// }, () => ({ path: '../index.js', external: true }))
  },
}

/** Takes the package out of the command line and of Studio, which are programs that use the package. */
const throughPackage: Plugin = {
  name: 'through-package',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.\/.*index\.ts$/ }, ({ path }) => ({
      path: path.endsWith('/studio/index.ts') ? '../studio/index.js' : '../index.js',
      external: true,
    }))
  },
}

rmSync(outdir, { recursive: true, force: true })
execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
nameForOlderCompilers()

const { metafile } = await build({
  ...common,
  entryPoints: { index: 'src/index.ts', 'config/index': 'src/config/index.ts' },
  external,
})
await build({ ...common, entryPoints: { 'testing/index': 'src/testing/index.ts' }, plugins: [throughMainEntry] })
await build({ ...common, entryPoints: { 'cli/holdfast': 'src/cli/holdfast.ts' }, plugins: [throughPackage] })
await build({ ...common, entryPoints: { 'studio/index': 'src/studio/index.ts' }, plugins: [throughPackage] })
await buildPage(join(outdir, 'studio/page'))
// Each adapter imports its own framework, if any, from the program's packages.
const adapters = ['ai-sdk', 'claude-agent', 'dexto', 'keyv', 'langgraph', 'mastra', 'messages', 'openai-agents', 'otel']
await build({
  ...common,
  external: ['@langchain/langgraph-checkpoint', '@mastra/core', '@opentelemetry/api'],
  entryPoints: Object.fromEntries(adapters.map((name) => [`adapters/${name}`, `src/adapters/${name}.ts`])),
  plugins: [throughMainEntry],
})
await build({
  ...common,
  entryPoints: { 'schema/sqlite': 'src/schema/sqlite.ts', 'schema/postgres': 'src/schema/postgres.ts' },
  external: ['drizzle-orm'],
})
writeFileSync(join(outdir, 'LICENSES.txt'), licenses(bundledPackages(Object.keys(metafile.inputs))))

/**
 * Leaves out the type argument of `Uint8Array`, which is its default: in TypeScript before 5.7 the type has no parameter, and
 * becomes `any`.
 */
function nameForOlderCompilers(): void {
  for (const name of readdirSync(outdir, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.d.ts')) continue
    const file = join(outdir, name)
    const declarations = readFileSync(file, 'utf8')
    writeFileSync(file, declarations.replaceAll('Uint8Array<ArrayBufferLike>', 'Uint8Array'))
  }
}

/** Returns the names of the packages that files belong to. */
function bundledPackages(files: readonly string[]): string[] {
  const names = files.flatMap((file) => /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.slice(1) ?? [])
  return [...new Set(names)].toSorted()
}

/** Returns the licenses of packages, which go wherever their code goes. */
function licenses(names: readonly string[]): string {
  const sections = names.map((name) => {
    const directory = join(root, 'node_modules', name)
    const { version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
    const own = ['LICENSE', 'LICENSE.md', 'license'].map((file) => join(directory, file))
    // drizzle-orm brings no text of its license.
    const file = [...own, join(root, `scripts/licenses/${license}.txt`)].find(existsSync)
    if (file === undefined) throw new Error(`${name} brings no license: add scripts/licenses/${license}.txt`)
    return `${name} ${version} (${license})\n\n${readFileSync(file, 'utf8').trim()}\n`
  })
  return `The code in this folder contains these packages.\n\n${sections.join(`\n${'-'.repeat(80)}\n\n`)}`
}
