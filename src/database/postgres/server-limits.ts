import type { Query } from '../query.ts'

/** The caller ends a transaction itself, unless it is frozen: then the server does so a little later. */
const IDLE_GRACE_MILLIS = 1000
/** A caller that is gone leaves its backend waiting for a lock: the server learns of the closed socket only afterwards. */
const LOCK_GRACE_MILLIS = 100
const LONGEST_MILLIS = 2 ** 31 - 1

/** Returns the query that makes the server end the transaction when it is idle, or waits for a lock, for too long. */
export function serverLimits(leftMillis: number): Pick<Query, 'sql' | 'params'> {
  const left = Math.ceil(Math.max(leftMillis, 0))
  const idle = limit('idle_in_transaction_session_timeout', left + IDLE_GRACE_MILLIS)
  return { sql: `${idle} union all ${limit('lock_timeout', left + LOCK_GRACE_MILLIS)}`, params: [] }
}

/** Returns a query that sets a limit for the rest of the transaction, unless the server has a shorter one. */
function limit(setting: string, longestMillis: number): string {
  const name = `'${setting}'`
  const millis = `'${Math.min(longestMillis, LONGEST_MILLIS)}'`
  const isLonger = `current_setting(${name}) = '0' or current_setting(${name})::interval > (${millis} || ' ms')::interval`
  return `select set_config(${name}, ${millis}, true) where ${isLonger}`
}
