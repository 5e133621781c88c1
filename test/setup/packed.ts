import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { freshDirectory } from './databases.ts'

const root = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)

/** Packs the package, which builds it, and unpacks it into `directory`: what is there then is what is published. */
export async function unpackInto(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true })
  await run('tar', ['-xzf', await pack(), '-C', directory, '--strip-components=1'])
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
