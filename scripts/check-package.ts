/** Packs the package, which builds it, and checks what would be published with publint and Are The Types Wrong. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const directory = mkdtempSync(join(tmpdir(), 'holdfast-package-'))
const run = (program: string, args: string[]) =>
  execFileSync(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' })

try {
  const tarball = run('npm', ['pack', '--silent', '--pack-destination', directory]).trim().split('\n').at(-1) ?? ''
  const file = join(directory, tarball)
  run(join(root, 'node_modules/.bin/publint'), ['run', '--strict', file])
  run(join(root, 'node_modules/.bin/attw'), ['--profile', 'esm-only', '--format', 'ascii', '--no-color', file])
  console.log(`${tarball}: publint and attw find nothing`)
} catch (error) {
  const output = error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
  console.error(output || error)
  process.exitCode = 1
} finally {
  rmSync(directory, { recursive: true })
}
