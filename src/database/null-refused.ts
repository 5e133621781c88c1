import { StorageError } from '../errors.ts'

/** Returns true if the database refused a statement because a column that must have a value would have become null. */
export function isNullRefused(error: unknown): boolean {
  if (!(error instanceof StorageError)) return false
  const { details } = error
  if ('sqliteCode' in details) return details.sqliteCode === 'SQLITE_CONSTRAINT_NOTNULL'
  return 'postgresCode' in details && details.postgresCode === '23502'
}
