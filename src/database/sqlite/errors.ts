import { codeOf, messageOf } from '../../caught.ts'
import { type CodeWith, type DatabaseErrorDetails, StorageError } from '../../errors.ts'
import { storageClosed } from '../closed.ts'

/** Returns the code of an error of better-sqlite3. Its class cannot be compared to, because the module is loaded lazily. */
function sqliteCodeOf(error: unknown): string | undefined {
  const code = codeOf(error)
  return code?.startsWith('SQLITE_') ? code : undefined
}

/** Returns true if another connection holds the lock. The statement had no effect and may be run again. */
export function isBusy(error: unknown): boolean {
  const code = sqliteCodeOf(error)
  return code !== undefined && (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED'))
}

/** Meanings by the beginning of SQLite's extended code. */
const MEANINGS: readonly (readonly [prefix: string, code: CodeWith<DatabaseErrorDetails>, message: string])[] = [
  ['SQLITE_CONSTRAINT_PRIMARYKEY', 'ALREADY_EXISTS', 'A row with this key exists already'],
  ['SQLITE_CONSTRAINT_UNIQUE', 'ALREADY_EXISTS', 'A row with this key exists already'],
  [
    'SQLITE_CONSTRAINT_FOREIGNKEY',
    'INVALID_STATE',
    'The row refers to a row that does not exist, or another row refers to it',
  ],
  ['SQLITE_FULL', 'DISK_FULL', 'The disk that holds the SQLite file is full; the write was not done'],
  [
    'SQLITE_READONLY_DIRECTORY',
    'READ_ONLY',
    'The directory of the SQLite file is not writable: SQLite keeps its log there, also to read',
  ],
  [
    'SQLITE_READONLY',
    'READ_ONLY',
    'The SQLite database is read-only: open it without options.readonly, or make the file writable',
  ],
  [
    'SQLITE_CANTOPEN',
    'CONNECTION_FAILED',
    'The SQLite file cannot be opened: check that it is a file that this user may read and write, in a directory that is writable',
  ],
  // The file of the memory that connections share is extended when a database is opened.
  [
    'SQLITE_IOERR_SHMSIZE',
    'DISK_FULL',
    'The disk that holds the SQLite file is full: there is no room for its -shm file',
  ],
  [
    'SQLITE_IOERR',
    'DATABASE_FAILED',
    'The SQLite file could not be read or written: check its disk, quotas and limits of file sizes',
  ],
  ['SQLITE_NOTADB', 'CONNECTION_FAILED', 'The file is not a SQLite database: check database.path'],
  [
    'SQLITE_CORRUPT',
    'DATABASE_FAILED',
    'The SQLite file is damaged: restore a copy (PRAGMA integrity_check lists the damage)',
  ],
]

/** What better-sqlite3 says of a connection that was closed: the call waited for the lock when close() gave up. */
const NOT_OPEN = 'The database connection is not open'

/** Returns the StorageError for an error of better-sqlite3. Names the file. Returns any other error as it is. */
export function sqliteError(error: unknown, file?: string): unknown {
  if (messageOf(error) === NOT_OPEN) return storageClosed({ cause: error })
  const code = sqliteCodeOf(error)
  if (code === undefined) return error
  const details: DatabaseErrorDetails = file === undefined ? { sqliteCode: code } : { sqliteCode: code, file }
  const options = { cause: error, details }
  if (isBusy(error)) {
    const message = 'Another process kept the SQLite file locked for longer than options.busyTimeoutMillis'
    return new StorageError('TIMEOUT', `${message}${inBrackets(file)}`, { ...options, retryable: true })
  }
  const [, meaning, message] = MEANINGS.find(([prefix]) => code.startsWith(prefix)) ?? []
  if (meaning === undefined)
    return new StorageError('DATABASE_FAILED', `SQLite refused the statement (${code})`, options)
  // A row that is refused says nothing about the file.
  const place = code.startsWith('SQLITE_CONSTRAINT') ? '' : inBrackets(file)
  return new StorageError(meaning, `${message}${place}`, options)
}

function inBrackets(file: string | undefined): string {
  return file === undefined ? '' : ` (${file})`
}
