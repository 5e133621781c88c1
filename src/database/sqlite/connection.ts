import type BetterSqlite3 from 'better-sqlite3'
import { StorageError, type StorageErrorCode } from '../../errors.ts'
import type { Query, Row } from '../query.ts'

/** How many prepared statements a connection keeps: those compiled once, and room for shapes that vary. */
const PREPARED_STATEMENTS = 500

/** One better-sqlite3 connection and its prepared statements. Everything here is synchronous. */
export class SqliteConnection {
  readonly #db: BetterSqlite3.Database
  readonly #prepared = new Map<string, BetterSqlite3.Statement>()
  #dataVersion: BetterSqlite3.Statement | undefined

  constructor(db: BetterSqlite3.Database) {
    this.#db = db
  }

  get inTransaction(): boolean {
    return this.#db.inTransaction
  }

  run({ sql, params }: Pick<Query, 'sql' | 'params'>): Row[] {
    const statement = this.#prepared.get(sql) ?? this.#prepare(sql)
    const values: unknown[] = []
    for (const param of params) values.push(driverValue(param))
    // all(), never get(): a RETURNING that is not read to its end holds its transaction open, and the WAL grows.
    if (statement.reader) return statement.all(values) as Row[] // raw(true) makes rows arrays
    statement.run(values)
    return []
  }

  #prepare(sql: string): BetterSqlite3.Statement {
    const statement = this.#db.prepare(sql)
    if (statement.reader) statement.raw(true)
    // The oldest goes. That may be one in use, but to keep them by use would cost every call more than to prepare again.
    if (this.#prepared.size >= PREPARED_STATEMENTS) {
      for (const oldest of this.#prepared.keys()) {
        this.#prepared.delete(oldest)
        break
      }
    }
    this.#prepared.set(sql, statement)
    return statement
  }

  /** Reads that all see the same state. */
  snapshot(queries: readonly Query[]): Row[][] {
    if (this.inTransaction) return queries.map((query) => this.run(query))
    this.control('BEGIN')
    try {
      return queries.map((query) => this.run(query))
    } finally {
      this.control('COMMIT')
    }
  }

  /** BEGIN, COMMIT and their like, prepared as well: they come with every write. */
  control(sql: string): void {
    this.run({ sql, params: [] })
  }

  /** What must not be prepared: a PRAGMA may do its work while it is compiled, and so not again. */
  exec(sql: string): void {
    this.#db.exec(sql)
  }

  /** Changes when another connection has committed to the file. Asked at every hit of a cache: by the shortest way. */
  dataVersion(): number {
    this.#dataVersion ??= this.#db.prepare('PRAGMA data_version').pluck()
    return this.#dataVersion.get() as number // a pragma of one integer
  }

  close(): void {
    this.#db.close()
  }
}

function driverValue(value: unknown): unknown {
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value instanceof Date) return value.getTime()
  return value
}

/** better-sqlite3's error class, told by its code; the module itself is loaded lazily. */
function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined
}

/** Another connection holds the lock; the statement did nothing and may be run again. */
export function isBusy(error: unknown): boolean {
  const code = codeOf(error)
  return code !== undefined && (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED'))
}

const MEANINGS: readonly (readonly [prefix: string, code: StorageErrorCode, message: string])[] = [
  ['SQLITE_CONSTRAINT_PRIMARYKEY', 'ALREADY_EXISTS', 'A row with this key exists already'],
  ['SQLITE_CONSTRAINT_UNIQUE', 'ALREADY_EXISTS', 'A row with this key exists already'],
  ['SQLITE_CONSTRAINT_FOREIGNKEY', 'INVALID_STATE', 'The row refers to one that is not there, or is referred to'],
  ['SQLITE_FULL', 'DISK_FULL', 'The disk that holds the SQLite file is full; the write was not done'],
  [
    'SQLITE_READONLY',
    'READ_ONLY',
    'The SQLite database is read-only: open it without options.readonly, or make the file writable',
  ],
  [
    'SQLITE_CANTOPEN',
    'CONNECTION_FAILED',
    'The SQLite file cannot be opened: check that it is a file and its directory is writable',
  ],
  ['SQLITE_NOTADB', 'CONNECTION_FAILED', 'The file is not a SQLite database: check database.path'],
  [
    'SQLITE_CORRUPT',
    'DATABASE_FAILED',
    'The SQLite file is damaged: restore a copy (PRAGMA integrity_check tells more)',
  ],
]

/** The StorageError that a driver's error means; anything else is returned as it is. */
export function sqliteError(error: unknown): unknown {
  const code = codeOf(error)
  if (code === undefined) return error
  const options = { cause: error, details: { sqliteCode: code } }
  if (isBusy(error)) {
    const message = 'Another process kept the SQLite file locked for longer than options.busyTimeoutMillis'
    return new StorageError('TIMEOUT', message, { ...options, retryable: true })
  }
  const meaning = MEANINGS.find(([prefix]) => code.startsWith(prefix))
  if (meaning) return new StorageError(meaning[1], meaning[2], options)
  return new StorageError('DATABASE_FAILED', `SQLite refused the statement (${code})`, options)
}
