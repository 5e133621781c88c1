import { gt, isNull, or, type SQL } from 'drizzle-orm'
import type { Tables } from '../schema/tables.ts'

type Expiring = Pick<Tables['sessions' | 'kv' | 'blobs'], 'expiresAt'>

/** The condition that a row has not expired. Readers do not see an expired row; maintenance removes it later. */
export function notExpired(table: Expiring, now: Date): SQL {
  return or(isNull(table.expiresAt), gt(table.expiresAt, now)) as SQL // undefined only if no condition is given
}
