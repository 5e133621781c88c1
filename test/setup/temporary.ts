import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

let root: string | undefined

/** Creates a temporary directory. It is removed when this process ends, even if this process is killed. */
export function temporaryDirectory(name: string): string {
  return mkdtempSync(join(temporaryRoot(), `${name}-`))
}

/** Kills the child when this process ends, even if this process is killed. */
export function adopt(child: ChildProcess): void {
  if (child.pid === undefined) return
  const entry = join(temporaryRoot(), 'pids', String(child.pid))
  writeFileSync(entry, '')
  child.once('exit', () => rmSync(entry, { force: true }))
}

function temporaryRoot(): string {
  if (root !== undefined) return root
  root = mkdtempSync(join(traversableDirectory(), 'holdfast-'))
  // Servers that run as another user must reach their own directory, and must not list the others.
  chmodSync(root, 0o711)
  mkdirSync(join(root, 'pids'), { mode: 0o700 })
  watch(root)
  return root
}

/** Starts a watchdog that cleans up when this process ends: it waits for the end of a pipe that only this process holds. */
function watch(directory: string): void {
  const script = `cat > /dev/null; cd "$1/pids" || exit
    [ -z "$(ls)" ] || { kill -INT *; sleep 1; kill -KILL *; }
    cd / && rm -rf "$1"`
  const watchdog = spawn('/bin/sh', ['-c', script, 'sh', directory], {
    detached: true, // its own session: Ctrl-C reaches this process, not the watchdog
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  watchdog.unref()
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref()
}

function traversableDirectory(): string {
  const found = [tmpdir(), '/tmp', '/var/tmp'].map((path) => realpathSync(path)).find(isTraversable)
  if (found === undefined) throw new Error('No temporary directory can be traversed by other users: set TMPDIR.')
  return found
}

function isTraversable(path: string): boolean {
  if (process.getuid?.() !== 0) return true
  const open = (statSync(path).mode & 0o001) !== 0
  return open && (dirname(path) === path || isTraversable(dirname(path)))
}
