import { type CodeWith, type FileErrorDetails, StorageError } from '../../errors.ts'

const MAY_NOT = [
  'CONNECTION_FAILED',
  'The blob store may not be used: check the owner and the modes of storePath',
] as const
const NOT_A_DIRECTORY = ['CONNECTION_FAILED', 'The blob store has something else where a directory belongs'] as const

const MEANINGS: Record<string, readonly [code: CodeWith<FileErrorDetails>, message: string]> = {
  ENOSPC: ['DISK_FULL', 'The disk that holds the blob store is full'],
  EDQUOT: ['DISK_FULL', 'The disk quota for the blob store is used up'],
  EROFS: ['READ_ONLY', 'The blob store is on a read-only file system'],
  EACCES: MAY_NOT,
  EPERM: MAY_NOT,
  ENOTDIR: NOT_A_DIRECTORY,
  ELOOP: NOT_A_DIRECTORY,
  EEXIST: NOT_A_DIRECTORY,
}

/** Whether the error is the system's, with one of these codes. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** The StorageError that a failed step on a file means; a StorageError stays as it is. */
export function fileError(error: unknown, step: string): StorageError {
  if (error instanceof StorageError) return error
  const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
  const [code, message] = MEANINGS[errno] ?? ['DATABASE_FAILED', 'The blob store could not use a file']
  return new StorageError(code, `${message} (${errno} at ${step})`, { cause: error, details: { errno, step } })
}
