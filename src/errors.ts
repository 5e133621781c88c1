/** One thing that is wrong with an argument or a configuration. Contains no value of either. */
export interface Problem {
  /** The path to it, such as `options.limit` or `storage.cache.port`. */
  path: string
  /** What is wrong, and what would be right. */
  message: string
}

/** A PostgreSQL server, and who connects to which of its databases. */
export interface DatabaseAddress {
  /** Host name, IP address, or directory of the Unix socket. */
  host: string
  /** TCP port. */
  port: number
  /** Name of the database. Undefined if the url leaves it to the driver. */
  database?: string | undefined
  /** Name of the user. Undefined if the url leaves it to the driver. */
  user?: string | undefined
}

/** What the database said about a statement that it refused. */
export interface DatabaseErrorDetails {
  /** SQLite's extended result code, such as `SQLITE_CONSTRAINT_UNIQUE`. */
  sqliteCode?: string
  /** The SQLSTATE, such as `23505`, or the code of a socket's error, such as `ECONNREFUSED`. */
  postgresCode?: string
  /** The constraint that PostgreSQL named. */
  constraint?: string
  /** The table that PostgreSQL named. */
  table?: string
  /** The PostgreSQL server, database and user of the connection. Never a password. */
  address?: DatabaseAddress
  /** The absolute path of the SQLite file. */
  file?: string
}

/** The step on a file of the blob store that failed. */
export interface FileErrorDetails {
  /** The system's code, such as `ENOSPC`. */
  errno?: string
  /** The step, such as `rename`. */
  step?: string
  /** The absolute path of the file or directory. */
  file?: string
}

/** The request to a bucket that failed. */
export interface ObjectErrorDetails {
  /** The name of the bucket. */
  bucket?: string
  /** The operation of S3, such as `PutObject`. */
  step?: string
  /** The HTTP status of the answer, such as 503. */
  httpStatus?: number
  /** The code in the answer, such as `SlowDown`. */
  s3Code?: string
  /** The id that the server gave the request. */
  requestId?: string
  /** The system's code, such as `ECONNREFUSED`. */
  errno?: string
}

/** How far an import of messages had come. */
export interface ImportErrorDetails {
  /** Number of messages that were stored, and stay. */
  added?: number
  /** Number of messages whose id their session had already. */
  known?: number
}

type NoDetails = Record<string, never>

/** The `details` of an error, by its code. `docs/errors.md` says what each code means and what to do. */
export interface StorageErrorDetails {
  CONFIG_INVALID: { problems: readonly Problem[] }
  CONFIG_ENV_MISSING: {
    problems: readonly Problem[]
    /** The names of the missing variables, each once. */
    variables: readonly string[]
  }
  DRIVER_MISSING: {
    /** The npm package to install. */
    package: string
    /** The supported versions, as a semver range. Given if another version is installed. */
    supported?: string
  }
  CONNECTION_FAILED: DatabaseErrorDetails &
    FileErrorDetails &
    ObjectErrorDetails & {
      /** The database's encoding, which is not UTF8. */
      encoding?: string
      /** The startup parameter that a pooler refuses. */
      parameter?: string
      /** The Redis server that refuses the connection. */
      server?: string
      /** The number of the logical Redis database. */
      database?: number
    }
  CONNECTION_LOST: Pick<DatabaseErrorDetails, 'address'>
  TIMEOUT: DatabaseErrorDetails & ObjectErrorDetails
  ABORTED: ImportErrorDetails
  CACHE_UNAVAILABLE: NoDetails
  EMBEDDING_FAILED: NoDetails
  CLOSED: ImportErrorDetails
  MIGRATION_PENDING: {
    /** How many migrations are pending. */
    pending: number
  }
  MIGRATION_FAILED: NoDetails
  SCHEMA_TOO_NEW: {
    /** How many migrations the database has. */
    applied: number
    /** How many migrations this version knows. */
    known: number
  }
  SCHEMA_DIVERGED: {
    /** The index of the first migration that differs, from 0. Not given if the migrated tables are missing. */
    migration?: number
  }
  ALREADY_EXISTS: DatabaseErrorDetails & {
    /** The id that was to be stored. */
    id?: string
    /** The key that the new owner of a session uses already. */
    key?: string
    /** The path that belongs to another workspace, or the file or directory that was to be new. */
    path?: string
  }
  NOT_FOUND: {
    /** The id that does not exist. */
    id: string
    /** The session in which the message does not exist. */
    sessionId?: string
  }
  VERSION_CONFLICT: {
    /** The id of the session. */
    id?: string
    /** The key of the entry. */
    key?: string
    /** The version that `ifVersion` named, or the seq that `expectLastSeq` named. */
    expected: number
    /** The stored version, or the seq of the newest message. Undefined if nothing is stored. */
    actual: number | undefined
  }
  INVALID_INPUT: { problems: readonly Problem[] }
  INVALID_STATE: DatabaseErrorDetails & {
    /** The id of the tool execution. */
    executionId?: string
    /** The status that the tool execution has. */
    status?: string
    /** The SHA-256 of the blob's bytes. */
    hash?: string
  }
  TRANSACTION_MISUSE: DatabaseErrorDetails
  DATABASE_FAILED: DatabaseErrorDetails & FileErrorDetails & ObjectErrorDetails
  DATABASE_MOVED: {
    /** The absolute path of the SQLite file. */
    file: string
  }
  READ_ONLY: DatabaseErrorDetails & FileErrorDetails
  PRIVILEGE_MISSING: DatabaseErrorDetails &
    ObjectErrorDetails & {
      /**
       * The kind and the name of the object, such as `table kv` or `bucket agents`. Not given if PostgreSQL's messages are
       * not in English.
       */
      object?: string
      /** What the statement or request needs on the object, such as `INSERT` or `s3:PutObject`. At least one is missing. */
      privileges?: readonly string[]
    }
  DISK_FULL: DatabaseErrorDetails & FileErrorDetails & ObjectErrorDetails
  ARCHIVE_DAMAGED: {
    /** The file in the directory of the archive, such as `messages.jsonl`. */
    file: string
  }
  BLOB_TOO_LARGE: {
    /** The configured `maxBlobSize`, in bytes. */
    maxBytes: number
  }
  BLOB_QUOTA_EXCEEDED: {
    /** The size of the refused blob, in bytes. */
    size: number
    /** The configured `maxTotalSize`, in bytes. */
    maxTotalSize: number
  }
  BLOB_NOT_FOUND: {
    /** The blob that does not exist, as `blob:<id>`. */
    uri?: string
    /** The SHA-256 of bytes that are not in the blob store although a record names them. */
    hash?: string
  }
  BLOB_IN_USE: {
    /** The id of the blob. */
    id: string
  }
  BLOB_CORRUPTED: {
    /** The SHA-256 that the bytes should have. */
    hash: string
  }
  BLOB_REFERENCE_INVALID: NoDetails
  BLOB_STORE_MISMATCH: {
    /** The directory of the blob store, or the bucket and the folder, such as `s3://agents/production/`. */
    storePath: string
  }
}

/** What went wrong, as a stable name. `docs/errors.md` says what each code means and what to do. */
export type StorageErrorCode = keyof StorageErrorDetails

/** The codes whose details may be `Details`. */
export type CodeWith<Details> = {
  [Code in StorageErrorCode]: Details extends StorageErrorDetails[Code] ? Code : never
}[StorageErrorCode]

export interface StorageErrorOptions<Code extends StorageErrorCode = StorageErrorCode> {
  /** The error that led to this error, such as a driver's. */
  cause?: unknown
  /** Facts for a program: paths, limits, ids. Never a parameter value or a secret. */
  details?: StorageErrorDetails[Code] | undefined
  /** True if the same call may succeed later without any change. Default false. */
  retryable?: boolean | undefined
}

/** The options may be left out if the code's details have no required property. */
type OptionsArgument<Code extends StorageErrorCode> =
  Record<string, never> extends StorageErrorDetails[Code]
    ? [options?: StorageErrorOptions<Code>]
    : [options: StorageErrorOptions<Code> & { details: StorageErrorDetails[Code] }]

/** A `StorageError` of one of the codes: a comparison of `code` narrows `details`. */
export type AnyStorageError = { [Code in StorageErrorCode]: StorageError<Code> }[StorageErrorCode]

/** In the registry of the process, so that several copies of the package recognise each other's errors. */
const BRAND = Symbol.for('holdfast.StorageError')

/**
 * The one error class of the package. Compare `code`, show `message`, log `cause`. `instanceof StorageError` also
 * recognises the errors of another copy of the package.
 *
 * @example
 * ```ts
 * import { StorageError } from 'holdfast'
 * const error = new StorageError('CONNECTION_LOST', 'The connection was lost', { retryable: true })
 * console.log(error.code, error.retryable) // CONNECTION_LOST true
 * ```
 */
export class StorageError<Code extends StorageErrorCode = StorageErrorCode> extends Error {
  override readonly name = 'StorageError'
  readonly code: Code
  /** Facts for a program, by code: see `StorageErrorDetails`. */
  readonly details: Readonly<StorageErrorDetails[Code]>
  /** True if the same call may succeed later without any change. */
  readonly retryable: boolean

  constructor(code: Code, message: string, ...[options]: OptionsArgument<Code>) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    // Without options the code has no required details.
    this.details = options?.details ?? ({} as StorageErrorDetails[Code])
    this.retryable = options?.retryable ?? false
  }

  /** @internal */
  get [BRAND](): true {
    return true
  }

  /** Recognises the errors of every copy of the package, and lets `code` narrow `details` after `instanceof`. */
  static override [Symbol.hasInstance]<Instance>(
    this: { readonly prototype: Instance },
    value: unknown,
  ): value is StorageError extends Instance ? AnyStorageError : Instance {
    // biome-ignore lint/complexity/noThisInStatic: a subclass inherits this method, and has only its own instances
    return Object.is(this, StorageError) ? isStorageError(value) : super[Symbol.hasInstance](value)
  }
}

/**
 * Returns true if `error` is a `StorageError`, with this code if one is given. It also recognises the errors of another
 * copy of the package. The code narrows `details`.
 *
 * @example
 * ```ts
 * import { isStorageError } from 'holdfast'
 * const failed = await storage.kv.set('theme', 'dark', { ifVersion: 3 }).catch((error: unknown) => error)
 * if (isStorageError(failed, 'VERSION_CONFLICT')) console.log(failed.details.actual) // undefined: there is no entry
 * ```
 */
export function isStorageError(error: unknown): error is AnyStorageError
export function isStorageError<Code extends StorageErrorCode>(error: unknown, code: Code): error is StorageError<Code>
export function isStorageError(error: unknown, code?: StorageErrorCode): boolean {
  if (typeof error !== 'object' || error === null || !(BRAND in error)) return false
  return code === undefined || Reflect.get(error, 'code') === code
}
