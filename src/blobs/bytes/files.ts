import { createHash } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, rename, unlink } from 'node:fs/promises'
import { CHUNK_BYTES } from './backend.ts'
import { isErrno } from './errors.ts'

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants

/**
 * Opens a regular file for reading. Returns undefined if the path does not exist or is something else, such as a link or
 * pipe.
 */
export async function openRegularFile(path: string): Promise<{ file: FileHandle; size: number } | undefined> {
  // O_NONBLOCK: without it, opening a pipe waits for its other end.
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(undefinedOn('ENOENT', 'ELOOP', 'ENXIO'))
  if (!file) return undefined
  const stat = await file.stat()
  if (stat.isFile()) return { file, size: stat.size }
  await file.close()
  return undefined
}

/** Returns the SHA-256 of a regular file, or undefined if there is none. */
export async function hashOfFile(path: string): Promise<string | undefined> {
  const found = await openRegularFile(path)
  if (!found) return undefined
  try {
    const hash = createHash('sha256')
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    for (;;) {
      const { bytesRead } = await found.file.read(buffer)
      if (bytesRead === 0) return hash.digest('hex')
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await found.file.close()
  }
}

/** Opens a directory, so that it can be synced and cannot be replaced meanwhile. Fails on a link. */
export const openDirectory = (path: string): Promise<FileHandle> => open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)

/** Makes the entries of a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await openDirectory(path)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, 0o700).catch(undefinedOn('EEXIST'))
}

export async function isDirectory(path: string): Promise<boolean> {
  return (await lstatIfExists(path))?.isDirectory() ?? false
}

export async function lstatIfExists(path: string): Promise<Stats | undefined> {
  return lstat(path).catch(undefinedOn('ENOENT'))
}

/** Returns the size of a regular file in bytes, or undefined if there is none. */
export async function sizeOfFile(path: string): Promise<number | undefined> {
  const stat = await lstatIfExists(path)
  return stat?.isFile() ? stat.size : undefined
}

/** Removes a file. Returns true if it existed. */
export async function unlinkIfExists(path: string): Promise<boolean> {
  return (await unlink(path).then(returnTrue, undefinedOn('ENOENT'))) ?? false
}

/** Renames a file. Returns true if it existed. */
export async function renameIfExists(from: string, to: string): Promise<boolean> {
  return (await rename(from, to).then(returnTrue, undefinedOn('ENOENT'))) ?? false
}

export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten
}

const returnTrue = () => true

/** Makes a handler that returns undefined for a system error with one of these codes, and throws every other error. */
export function undefinedOn(...codes: string[]): (error: unknown) => undefined {
  return (error) => {
    if (!isErrno(error, ...codes)) throw error
  }
}
