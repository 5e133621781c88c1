import { execFileSync } from 'node:child_process'
import { afterAll, onTestFinished } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'

/**
 * Creates a directory that can hold `bytes` bytes. Returns undefined if no file system can be mounted. The directory is
 * removed when the test file ends.
 */
export function smallDisk(bytes: number): string | undefined {
  const directory = freshDirectory()
  const mount = ['mount', '-t', 'tmpfs', '-o', `size=${bytes},mode=0777`, 'tmpfs', directory]
  if (!asRoot(mount)) return undefined
  afterAll(() => void asRoot(['umount', '--lazy', directory]))
  return directory
}

/** Makes a file one that cannot be removed, until the test ends. Returns false if nothing can be mounted. */
export function pinFile(path: string): boolean {
  if (!asRoot(['mount', '--bind', path, path])) return false
  onTestFinished(() => void asRoot(['umount', '--lazy', path]))
  return true
}

function asRoot([program = '', ...args]: string[]): boolean {
  try {
    if (process.getuid?.() === 0) execFileSync(program, args, { stdio: 'ignore' })
    else execFileSync('sudo', ['-n', program, ...args], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
