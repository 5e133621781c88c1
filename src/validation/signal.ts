import { StorageError, type StorageErrorDetails } from '../errors.ts'

/**
 * Checks that a call goes on.
 *
 * @param message Says what was aborted, and what to do.
 * @throws {ABORTED} when the signal is aborted
 */
export function checkSignal(
  signal: AbortSignal | undefined,
  message: string,
  details?: StorageErrorDetails['ABORTED'],
): void {
  if (signal?.aborted) throw new StorageError('ABORTED', message, { cause: signal.reason, details })
}
