import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf } from './caught.ts'

/**
 * Creates a directory that is missing, with its parents. Returns the topmost one that was created. `mkdir` with `recursive` does
 * the same, but never ends if the file system says ENOENT though the parent exists, as /proc does.
 */
export async function makeDirectories(path: string, mode?: number): Promise<string | undefined> {
  const make = () => mkdir(path, { mode }).then(() => path)
  try {
    return await make()
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' && dirname(path) !== path) {
      const topmost = await makeDirectories(dirname(path), mode)
      const made = await make().catch((again) => ifDirectory(path, again))
      return topmost ?? made
    }
    return ifDirectory(path, error)
  }
}

/** Returns undefined if the path is a directory, else throws the error. */
async function ifDirectory(path: string, error: unknown): Promise<undefined> {
  const found = await stat(path).catch(() => undefined)
  if (!found?.isDirectory()) throw error
}
