import { isStorageError } from '../errors.ts'

/** Classes of SQLSTATE that concern the values of a row: data exceptions, and violated constraints. */
const OF_ROWS = /^2[23]/

/** Returns true if the database refused a statement because of a row in it. */
export function isRowRefused(error: unknown): boolean {
  if (!isStorageError(error) || error.retryable) return false
  const { sqliteCode, postgresCode } = error.details as { sqliteCode?: string; postgresCode?: string } // of some codes
  if (sqliteCode !== undefined) return /^SQLITE_(?:CONSTRAINT|TOOBIG|MISMATCH)/.test(sqliteCode)
  return postgresCode !== undefined && OF_ROWS.test(postgresCode)
}
