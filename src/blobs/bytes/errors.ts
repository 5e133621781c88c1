import { codeOf, isError } from '../../caught.ts'
import { StorageError } from '../../errors.ts'
import { type SystemErrorMeaning, systemErrorMeaning } from '../../system-error.ts'

const STORE = 'the blob store'
const NOT_A_DIRECTORY: SystemErrorMeaning = [
  'CONNECTION_FAILED',
  'A file or link is in the place of a directory of the blob store',
]
const UNEXPECTED: SystemErrorMeaning = ['DATABASE_FAILED', 'The blob store could not use a file']

/** Returns true if the error is a system error with one of these codes. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return codes.includes(codeOf(error) ?? '')
}

/** Returns the StorageError for an error in a step on a file of `what`. A StorageError is returned unchanged. */
export function fileError(error: unknown, step: string, what = STORE): StorageError {
  if (error instanceof StorageError) return error
  const errno = codeOf(error) ?? 'unknown'
  const other = isErrno(error, 'ENOTDIR', 'ELOOP', 'EEXIST') ? NOT_A_DIRECTORY : UNEXPECTED
  const [code, message] = systemErrorMeaning(errno, what) ?? other
  const file = isError(error) && 'path' in error ? String(error.path) : undefined
  const place = file === undefined ? step : `${step} of ${file}`
  return new StorageError(code, `${message} (${errno} at ${place})`, {
    cause: error,
    details: file === undefined ? { errno, step } : { errno, step, file },
  })
}
