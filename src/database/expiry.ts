import { gt, isNull, or, type SQL } from 'drizzle-orm'
import type { Tables } from '../schema/tables.ts'

type Expiring = Pick<Tables['sessions' | 'kv' | 'blobs'], 'expiresAt'>

/** Makes the condition that a row has not expired. Readers do not see an expired row; maintenance removes it later. */
export function notExpired(table: Expiring, now: Date): SQL {
  return or(isNull(table.expiresAt), gt(table.expiresAt, now)) as SQL // undefined only if no condition is given
}

/** How long a row stays after it has expired: an instance whose clock is ahead must not remove what is alive for others. */
const GRACE_MILLIS = 300_000

/** Returns the instant before which a row must have expired to be removed: five minutes before `now`. */
export function sweepableBefore(now: Date): Date {
  return new Date(now.getTime() - GRACE_MILLIS)
}
