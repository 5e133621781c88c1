import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = join(import.meta.dirname, '../test/adapters')
const packages = join(folder, 'node_modules')
const marker = join(packages, '.installed')
const link = join(import.meta.dirname, '../src/adapters/node_modules')

/** What the frameworks' suites ask for and the tests do not need. package.json puts an empty package in its place. */
const PLACEHOLDERS = ['vitest', 'sqlite3', '@vitest']

/** Installs the frameworks that the adapters are tested against, if the lock file has changed since the last time. */
export function installAdapters(): void {
  const lock = readFileSync(join(folder, 'package-lock.json'), 'utf8')
  if (!existsSync(marker) || readFileSync(marker, 'utf8') !== lock) {
    console.error('Installing the frameworks of test/adapters')
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: ['ignore', 2, 2] })
    for (const name of PLACEHOLDERS) rmSync(join(packages, name), { recursive: true, force: true })
    writeFileSync(marker, lock)
  }
  // The adapters' sources import the types of the frameworks.
  if (!existsSync(link)) {
    rmSync(link, { force: true })
    symlinkSync('../../test/adapters/node_modules', link)
  }
}

if (process.argv[1] === import.meta.filename) installAdapters()
