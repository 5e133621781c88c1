import { isStorageError } from '../errors.ts'
import type { Kv } from '../repositories/kv/kv.ts'

/**
 * Writes an entry that goes with a session, whoever removes the session or gives it away. Without such a session the entry
 * stays by itself: the session comes later, or is of an owner while `kv` is that of the storage itself. Safe to repeat.
 */
export async function setWithSession(
  kv: Kv,
  key: string,
  value: unknown,
  { sessionId }: { sessionId: string },
): Promise<void> {
  try {
    await kv.set<unknown>(key, value, { sessionId })
  } catch (error) {
    if (!isStorageError(error, 'NOT_FOUND')) throw error
    await kv.set<unknown>(key, value)
  }
}
