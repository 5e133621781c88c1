/** What went wrong, as a stable name. `docs/errors.md` says what each means and what to do. */
export type StorageErrorCode =
  | 'CONFIG_INVALID'
  | 'CONFIG_ENV_MISSING'
  | 'DRIVER_MISSING'
  | 'CONNECTION_FAILED'
  | 'CONNECTION_LOST'
  | 'TIMEOUT'
  | 'CLOSED'
  | 'MIGRATION_PENDING'
  | 'MIGRATION_FAILED'
  | 'SCHEMA_TOO_NEW'
  | 'SCHEMA_DIVERGED'
  | 'ALREADY_EXISTS'
  | 'NOT_FOUND'
  | 'VERSION_CONFLICT'
  | 'INVALID_INPUT'
  | 'INVALID_STATE'
  | 'TRANSACTION_MISUSE'
  | 'DATABASE_FAILED'
  | 'READ_ONLY'
  | 'DISK_FULL'
  | 'BLOB_TOO_LARGE'
  | 'BLOB_QUOTA_EXCEEDED'
  | 'BLOB_NOT_FOUND'
  | 'BLOB_IN_USE'
  | 'BLOB_CORRUPTED'
  | 'BLOB_REFERENCE_INVALID'

export interface StorageErrorOptions {
  cause?: unknown
  /** Facts a program can act on: paths, limits, ids. Never a parameter value or a secret. */
  details?: Record<string, unknown> | undefined
  /** Whether the same call may succeed if it is made again later. Default false. */
  retryable?: boolean | undefined
}

/** The one error class of the package: switch on `code`, show `message`, log `cause`. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly code: StorageErrorCode
  readonly details: Readonly<Record<string, unknown>>
  readonly retryable: boolean

  constructor(code: StorageErrorCode, message: string, options: StorageErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
    this.retryable = options.retryable ?? false
  }
}
