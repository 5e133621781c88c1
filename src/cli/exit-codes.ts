import { isStorageError, type StorageErrorCode } from '../index.ts'

/** The exit codes of the command line. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  findings: 3,
  unreachable: 4,
  refused: 5,
} as const

/** What each code means, for help and docs/cli.md. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [EXIT.ok, 'done'],
  [EXIT.failed, 'failed; what was done until then stays'],
  [EXIT.usage, 'the command or the configuration is wrong; nothing was done'],
  [EXIT.findings, 'done, and something was found: pending, damaged or different'],
  [EXIT.unreachable, 'the database, Redis or the blob store cannot be reached'],
  [EXIT.refused, 'refused: a newer schema, read only, a target that exists, or a state that does not allow it'],
  [130, 'interrupted by SIGINT; 143 by SIGTERM, 129 by SIGHUP'],
]

/** A wrong command, option or argument. */
export class UsageError extends Error {}

/** A command that the user did not agree to, or that the state of the storage does not allow. */
export class Refusal extends Error {}

/** Output that could not be written, such as to a full disk. */
export class OutputError extends Error {}

const CODES: Partial<Record<StorageErrorCode, number>> = {
  CONFIG_INVALID: EXIT.usage,
  CONFIG_ENV_MISSING: EXIT.usage,
  DRIVER_MISSING: EXIT.usage,
  INVALID_INPUT: EXIT.usage,
  BLOB_REFERENCE_INVALID: EXIT.usage,
  MIGRATION_PENDING: EXIT.findings,
  ARCHIVE_DAMAGED: EXIT.findings,
  CONNECTION_FAILED: EXIT.unreachable,
  CONNECTION_LOST: EXIT.unreachable,
  TIMEOUT: EXIT.unreachable,
  CACHE_UNAVAILABLE: EXIT.unreachable,
  SCHEMA_TOO_NEW: EXIT.refused,
  SCHEMA_DIVERGED: EXIT.refused,
  READ_ONLY: EXIT.refused,
  PRIVILEGE_MISSING: EXIT.refused,
  BLOB_STORE_MISMATCH: EXIT.refused,
  BLOB_IN_USE: EXIT.refused,
  INVALID_STATE: EXIT.refused,
  ALREADY_EXISTS: EXIT.refused,
}

/** Returns the exit code of a command that ended with an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage
  if (error instanceof Refusal) return EXIT.refused
  return isStorageError(error) ? exitCodeFor(error.code) : EXIT.failed
}

/** Returns the exit code of a command that ended with an error of this code. */
export function exitCodeFor(code: StorageErrorCode): number {
  return CODES[code] ?? EXIT.failed
}
