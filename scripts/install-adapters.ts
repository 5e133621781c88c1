import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = join(import.meta.dirname, '../test/adapters')
const packages = join(folder, 'node_modules')
const marker = join(packages, '.installed')
/** Folders whose files import the frameworks. */
const users = ['src/adapters', 'examples/ai-sdk', 'examples/langgraph', 'examples/mastra']

/**
 * What the frameworks ask for and the tests do not need, or have in the project's own node_modules. package.json puts an empty
 * package in its place, so that nothing is compiled. .npmrc leaves out optional packages: one framework brings hundreds of
 * megabytes of programs for every platform.
 */
const PLACEHOLDERS = [
  'hono',
  'hono-openapi',
  'chat',
  '@a2a-js',
  'vitest',
  'sqlite3',
  '@vitest',
  'better-sqlite3',
  '@anthropic-ai/sdk',
  '@modelcontextprotocol',
]

/**
 * Packages that come with source maps, a second build and pages: two thirds of them. Of the oldest version only types are
 * used.
 */
const BULKY = ['@mastra/core', '@mastra/memory', '@mastra/schema-compat', 'lowest-core']

/** Removes files of the frameworks that no test reads. */
function trim(name: string): void {
  const folder = join(packages, name, 'dist')
  rmSync(join(folder, 'docs'), { recursive: true, force: true })
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (/\.(map|cjs|d\.cts)$/.test(path) || (name === 'lowest-core' && path.endsWith('.js'))) rmSync(join(folder, path))
  }
}

/** Installs the frameworks that the adapters are tested against, if the lock file has changed since the last time. */
export function installAdapters(): void {
  const lock = readFileSync(join(folder, 'package-lock.json'), 'utf8')
  if (!existsSync(marker) || readFileSync(marker, 'utf8') !== lock) {
    console.error('Installing the frameworks of test/adapters')
    try {
      execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: ['ignore', 2, 2] })
    } catch (cause) {
      throw new Error('The frameworks of test/adapters cannot be installed: is the registry of npm reachable?', {
        cause,
      })
    }
    for (const name of PLACEHOLDERS) rmSync(join(packages, name), { recursive: true, force: true })
    for (const name of BULKY) trim(name)
    writeFileSync(marker, lock)
  }
  for (const user of users) {
    const link = join(import.meta.dirname, '..', user, 'node_modules')
    if (existsSync(link)) continue
    rmSync(link, { force: true })
    symlinkSync('../../test/adapters/node_modules', link)
  }
}

if (process.argv[1] === import.meta.filename) installAdapters()
