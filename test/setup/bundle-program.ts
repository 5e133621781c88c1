import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { buildSync } from 'esbuild'

const root = resolve(import.meta.dirname, '../..')

/** In the project's own node_modules, so that a bundle finds the packages that it does not contain. */
const cache = join(root, 'node_modules/.cache/holdfast-tests')

let folder: string | undefined

/** Returns the folder of this process, which is removed with it. The next run removes what a killed process has left. */
function ownFolder(): string {
  if (folder !== undefined) return folder
  mkdirSync(cache, { recursive: true })
  const made = mkdtempSync(join(cache, `process-${process.pid}-`))
  process.once('exit', () => rmSync(made, { recursive: true, force: true }))
  folder = made
  return made
}

/** Removes the bundles that killed processes have left. Those of a run that goes on stay: a test of it starts a second run. */
export function removeBundles(): void {
  mkdirSync(cache, { recursive: true })
  for (const name of readdirSync(cache)) {
    const pid = Number(/^process-(\d+)-/.exec(name)?.[1])
    if (!(pid > 0 && isAlive(pid))) rmSync(join(cache, name), { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** What is loaded as it is installed: binaries, and what finds files of its own. */
const external = [
  'better-sqlite3',
  'postgres',
  'ioredis',
  'yaml',
  'file-type',
  'mime',
  'vitest',
  'esbuild',
  'tsx',
  'chat',
  'hono',
  'hono-openapi',
  '@a2a-js/*',
]

/** Gives CommonJS packages in a bundle the `require` that they call. */
const REQUIRE =
  "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);"

/**
 * Bundles a TypeScript program, a path from the project's root or an absolute one, with what it imports, and returns the path
 * of the bundle. A bundle starts in a fifth of the time that tsx takes to load hundreds of files. Built once in this process.
 */
export function bundleProgram(file: string): string {
  const bundle = join(ownFolder(), `${createHash('sha256').update(file).digest('hex').slice(0, 16)}.mjs`)
  if (existsSync(bundle)) return bundle
  buildSync({
    entryPoints: [resolve(root, file)],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    external,
    banner: { js: REQUIRE },
    define: { 'import.meta.dirname': JSON.stringify(dirname(resolve(root, file))) }, // its files are beside the source
    sourcemap: 'inline',
    sourcesContent: false,
    logLevel: 'silent',
    tsconfig: join(root, 'tsconfig.json'),
  })
  return bundle
}
