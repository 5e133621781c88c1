import { StorageError } from '../errors.ts'

/** Makes the error for an argument that is not valid. */
export function invalid(path: string, message: string): StorageError {
  return new StorageError('INVALID_INPUT', `${path}: ${message}`, { details: { problems: [{ path, message }] } })
}

/**
 * Throws if what an adapter is given is no storage, such as a configuration, or the promise of a storage.
 *
 * @throws {INVALID_INPUT} when it lacks the part of a storage that the adapter works with
 */
export function checkStorage(storage: unknown, part: 'checkpoints' | 'kv' | 'messages'): void {
  if (typeof storage === 'object' && storage !== null && part in storage) return
  throw invalid('storage', 'must be a storage, such as `await openStorage(config)` returns, or a scope of it')
}

/** Returns true if both databases store the text unchanged. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}
