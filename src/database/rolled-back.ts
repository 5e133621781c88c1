import { isStorageError } from '../errors.ts'

/**
 * How often a call is tried that PostgreSQL rolls back, or a read whose connection is lost. Bounded, because the read itself
 * may be what ends the connections.
 */
export const ATTEMPTS = 3

/** Returns true if PostgreSQL rolled everything back in favour of another transaction: a deadlock or serialization failure. */
export function wasRolledBack(error: unknown): boolean {
  return isStorageError(error, 'DATABASE_FAILED') && error.details.postgresCode?.startsWith('40') === true
}
