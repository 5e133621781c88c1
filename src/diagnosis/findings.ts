import type { StorageErrorCode } from '../errors.ts'

/** What one check of `storage.diagnose()` found. */
export interface Finding {
  /** The name of the check, such as `disk`. */
  check: string
  /** `fail`: something is wrong or will be. `warn`: something may be wrong. */
  result: 'ok' | 'warn' | 'fail'
  /** What was found and, unless the result is ok, what to do. Contains ids, and no content. */
  message: string
  /** The code of the error that kept the check from its end, such as CONNECTION_LOST. Given only then. */
  code?: StorageErrorCode
}

/** Makes a finding that is ok. */
export function ok(check: string, message: string): Finding {
  return { check, result: 'ok', message }
}

/** Makes a finding that may be a problem. */
export function warn(check: string, message: string): Finding {
  return { check, result: 'warn', message }
}

/** Makes a finding that is a problem. */
export function fail(check: string, message: string): Finding {
  return { check, result: 'fail', message }
}

/** Returns the first names of a list, and how many more there are. */
export function firstOf(names: readonly string[], count = 5): string {
  const more = names.length - count
  return `${names.slice(0, count).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
