import { codeOf, isError } from '../../caught.ts'
import { type CodeWith, type FileErrorDetails, StorageError } from '../../errors.ts'

const NO_PERMISSION = [
  'CONNECTION_FAILED',
  'No permission to use the blob store: check the owner and the modes of storePath',
] as const
const NOT_A_DIRECTORY = [
  'CONNECTION_FAILED',
  'A file or link is in the place of a directory of the blob store',
] as const

const MEANINGS: Record<string, readonly [code: CodeWith<FileErrorDetails>, message: string]> = {
  ENOSPC: ['DISK_FULL', 'The disk that holds the blob store is full'],
  EDQUOT: ['DISK_FULL', 'The disk quota for the blob store is used up'],
  EROFS: ['READ_ONLY', 'The blob store is on a read-only file system'],
  EACCES: NO_PERMISSION,
  EPERM: NO_PERMISSION,
  ENOTDIR: NOT_A_DIRECTORY,
  ELOOP: NOT_A_DIRECTORY,
  EEXIST: NOT_A_DIRECTORY,
}

/** Returns true if the error is a system error with one of these codes. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return codes.includes(codeOf(error) ?? '')
}

/** Returns the StorageError for an error in a step on a file. A StorageError is returned unchanged. */
export function fileError(error: unknown, step: string): StorageError {
  if (error instanceof StorageError) return error
  const errno = codeOf(error) ?? 'unknown'
  const [code, message] = MEANINGS[errno] ?? ['DATABASE_FAILED', 'The blob store could not use a file']
  const file = isError(error) && 'path' in error ? String(error.path) : undefined
  const place = file === undefined ? step : `${step} of ${file}`
  return new StorageError(code, `${message} (${errno} at ${place})`, {
    cause: error,
    details: file === undefined ? { errno, step } : { errno, step, file },
  })
}
