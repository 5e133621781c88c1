import { execFile } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, renameSync, symlinkSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { inject } from 'vitest'
import { freshDirectory } from './databases.ts'

const root = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)

/** Unpacks the packed package into `directory`: what is there then is what is published. */
export async function unpackInto(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true })
  await run('tar', ['-xzf', await packed(), '-C', directory, '--strip-components=1'])
}

/** How long to wait for another test file that packs. */
const PACKING_MILLIS = 290_000

/** Returns the path of the tarball. One test file of a run packs the package, which builds it; the others wait. */
async function packed(): Promise<string> {
  const directory = inject('runDirectory')
  const tarball = join(directory, 'package.tgz')
  try {
    mkdirSync(join(directory, 'packing'))
  } catch {
    for (const until = performance.now() + PACKING_MILLIS; !existsSync(tarball); await sleep(100)) {
      if (performance.now() > until) throw new Error('Another test file has not packed the package: see its failure')
    }
    return tarball
  }
  copyFileSync(await pack(), `${tarball}.part`)
  renameSync(`${tarball}.part`, tarball)
  return tarball
}

/** Packs a copy of the checkout, since packing builds `dist/` anew, and returns the path of the tarball. */
async function pack(): Promise<string> {
  const checkout = freshDirectory()
  const left = new Set(['node_modules', '.git', 'dist'])
  cpSync(root, checkout, { recursive: true, filter: (path) => path === root || !left.has(basename(path)) })
  symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'))
  // The build needs the types of the frameworks, which are installed already.
  symlinkSync(join(root, 'test/adapters/node_modules'), join(checkout, 'test/adapters/node_modules'))
  const { stdout } = await run('npm', ['pack', '--silent'], { cwd: checkout })
  return join(checkout, stdout.trim())
}
