import { StorageError } from '../errors.ts'

/** Makes the error for an argument that is not valid. */
export function invalid(path: string, message: string): StorageError {
  return new StorageError('INVALID_INPUT', `${path}: ${message}`, { details: { problems: [{ path, message }] } })
}
