import { type AnyStorageError, isStorageError, StorageError } from 'holdfast'
import type { Same } from './same.ts'

// Checked by tsc: the code of an error narrows its details.

export function narrowed(error: unknown): unknown {
  if (isStorageError(error, 'VERSION_CONFLICT')) {
    const same: Same<typeof error, StorageError<'VERSION_CONFLICT'>> = true
    const actual: number | undefined = error.details.actual
    return [same, actual, error.details.expected.toFixed()]
  }
  if (error instanceof StorageError && error.code === 'INVALID_INPUT') {
    return error.details.problems.map(({ path, message }) => path + message)
  }
  if (isStorageError(error)) {
    const same: Same<typeof error, AnyStorageError> = true
    switch (error.code) {
      case 'BLOB_TOO_LARGE':
        return [same, error.details.maxBytes]
      case 'DATABASE_FAILED':
        return error.details.postgresCode?.startsWith('40')
    }
    // @ts-expect-error the details of the other codes have no such field
    return error.details.problems
  }
  // @ts-expect-error there is no such code
  return isStorageError(error, 'VERISON_CONFLICT')
}

class QuotaError extends StorageError<'BLOB_QUOTA_EXCEEDED'> {
  plan = 'free'
}

/** A subclass has its own fields after `instanceof`. */
export const planOf = (error: unknown): string => (error instanceof QuotaError ? error.plan + error.details.size : '')

export const made: StorageError[] = [
  new StorageError('CLOSED', 'closed'),
  new StorageError('CONNECTION_LOST', 'lost', { retryable: true }),
  new StorageError('BLOB_IN_USE', 'in use', { details: { id: 'x' } }),
  // @ts-expect-error the details of this code are missing
  new StorageError('BLOB_IN_USE', 'in use'),
  // @ts-expect-error the details of this code are missing
  new StorageError('BLOB_IN_USE', 'in use', { retryable: true }),
  // @ts-expect-error the details are those of another code
  new StorageError('BLOB_IN_USE', 'in use', { details: { maxBytes: 5 } }),
  // @ts-expect-error this code has no details
  new StorageError('CLOSED', 'closed', { details: { id: 'x' } }),
]

/** An error of one code is assignable to StorageError. */
export const one = (error: StorageError<'NOT_FOUND'>): StorageError => error
