import { type SQL, sql } from 'drizzle-orm'
import { isStorageError } from '../errors.ts'
import type { Builder } from './statement.ts'

export interface LockLimits {
  /** How long a statement of the transaction waits for a lock. Without `idleMillis`, a shorter limit of the transaction stays. */
  waitMillis: number
  /** How long the transaction may wait for its program before the server ends it. Undefined: as the server is set up. */
  idleMillis?: number | undefined
}

/**
 * Returns a condition that is always true and limits the transaction from its statement on, for the WHERE of the statement
 * that takes the first lock: so the limits cost no message of their own. Undefined on SQLite, where `busyTimeoutMillis`
 * limits the wait for the one lock.
 */
export function limitedTo({ dialect }: Builder, { waitMillis, idleMillis }: LockLimits): SQL | undefined {
  if (dialect === 'sqlite') return undefined
  if (idleMillis === undefined) {
    // A transaction of the program may have a shorter limit: its timeoutMillis.
    const isShorter = `current_setting('lock_timeout')::interval between '1 ms' and '${waitMillis} ms'`
    const millis = `case when ${isShorter} then current_setting('lock_timeout') else '${waitMillis}' end`
    return sql.raw(`set_config('lock_timeout', ${millis}, true) is not null`)
  }
  const wait = sql.raw(`set_config('lock_timeout', '${waitMillis}', true) is not null`)
  const idle = sql.raw(`set_config('idle_in_transaction_session_timeout', '${idleMillis}', true) is not null`)
  return sql`${wait} and ${idle}`
}

/** Returns true if a statement was refused because a lock was not granted within `waitMillis`. */
export function isLockTimeout(error: unknown): boolean {
  return isStorageError(error, 'TIMEOUT') && error.details.postgresCode === '55P03'
}
