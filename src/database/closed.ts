import { StorageError } from '../errors.ts'

/** Returns the error of a call that close() does not wait for. */
export function storageClosed(options?: ErrorOptions): StorageError {
  return new StorageError('CLOSED', 'The storage has been closed', options)
}
