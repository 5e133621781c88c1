import type { CodeWith, FileErrorDetails } from './errors.ts'

/** What a system error means: the code of the StorageError, and its message without the place. */
export type SystemErrorMeaning = readonly [code: CodeWith<FileErrorDetails>, message: string]

/**
 * Returns what the code of a system error means for a file that is part of `what`, such as `the backup`. Returns undefined if the
 * code says nothing about the disk or its permissions.
 */
export function systemErrorMeaning(errno: string | undefined, what: string): SystemErrorMeaning | undefined {
  switch (errno) {
    case 'ENOSPC':
      return ['DISK_FULL', `The disk of ${what} is full`]
    case 'EDQUOT':
      return ['DISK_FULL', `The disk quota for ${what} is used up`]
    case 'EROFS':
      return ['READ_ONLY', `The file system of ${what} is read-only`]
    case 'EACCES':
    case 'EPERM':
      return ['CONNECTION_FAILED', `No permission to use ${what}: check the owner and the mode of its directory`]
    default:
      return undefined
  }
}
