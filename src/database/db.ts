import type { PgColumn, PgDatabase, PgQueryResultHKT, PgTable } from 'drizzle-orm/pg-core'
import type { SearchSetting } from '../config/types.ts'
import type { Finding } from '../diagnosis/findings.ts'
import type { SearchEntries } from '../schema/search-entries.ts'
import type { Tables } from '../schema/tables.ts'
import type { Query, Row } from './query.ts'

export type Dialect = 'sqlite' | 'postgres'

/** The result of a query: its rows. Empty if the query returns nothing. */
export interface RowsHKT extends PgQueryResultHKT {
  type: this['row'][]
}

/** The part of drizzle's query builder that behaves alike in both dialects. SQLite's builder is cast to it in sqlite/kit.ts. */
export type Orm = Pick<
  PgDatabase<RowsHKT, Record<string, never>>,
  'select' | 'selectDistinct' | 'insert' | 'update' | 'delete' | 'with' | '$with'
>

/**
 * What drizzle makes for one dialect, under PostgreSQL's types. It is loaded with the driver of the dialect: a program on
 * SQLite never loads the half of drizzle that is for PostgreSQL.
 */
export interface DialectKit {
  readonly dialect: Dialect
  readonly tables: Tables
  /** How entries of the full-text index are written. */
  readonly entries: SearchEntries
  /** Makes drizzle's query builder for an executor. */
  ormFor(executor: Executor): Orm
  /** Returns the columns of a table, and its primary key if that has several columns. */
  configOf(table: PgTable): {
    readonly columns: readonly PgColumn[]
    readonly primaryKeys: readonly { readonly columns: readonly PgColumn[] }[]
  }
}

/** Runs queries, on the database or in one transaction. */
export interface Executor {
  run(query: Query): Promise<readonly Row[]>
  /**
   * Runs all queries or none, on PostgreSQL in one round trip. The queries are fixed before the first one runs, so none can
   * use the result of another.
   */
  batch(queries: readonly Query[]): Promise<(readonly Row[])[]>
}

/**
 * The one handle that repositories take: the database, or a transaction in it. Frequent queries use `statement`; queries
 * whose shape varies use `orm`.
 */
export interface Db extends Executor {
  readonly kit: DialectKit
  readonly dialect: Dialect
  readonly tables: Tables
  readonly orm: Orm
  /** Whose rows the handle works with: those of one owner, or everybody's if undefined. See owner.ts. */
  readonly owner: string | undefined
  /** True if statements work with the owner that their batch has decided on. See decided-db.ts. */
  readonly isDecided?: boolean
  /** Which texts have an entry in the full-text index, which a write of the text writes as well. */
  readonly search: SearchSetting
  /** Runs `body` in a transaction, or in a savepoint if the handle is a transaction. Rolls back if `body` rejects. */
  transaction<T>(body: (tx: Db) => Promise<T>): Promise<T>
}

/** The seam that SQLite and PostgreSQL implement. Every error is a StorageError. */
export interface Driver extends Pick<Executor, 'batch'> {
  readonly dialect: Dialect
  readonly kit: DialectKit
  /** The name of the database for the messages of channels.ts. */
  readonly namespace?: string | undefined
  /** Runs a query. Returns or throws at once if it waits for nothing: a promise costs a tenth of a short read. */
  run(query: Query): readonly Row[] | Promise<readonly Row[]>
  /** Waits for a connection, then opens a transaction that owns the connection until its end. */
  begin(options?: BeginOptions): Promise<DriverTransaction>
  /**
   * Opens a snapshot: reads that all see the database as it is now. Others may write meanwhile. PostgreSQL and SQLite
   * open a connection of its own, and a database in memory is copied.
   */
  snapshot(): Promise<Snapshot>
  readonly journal: MigrationJournal
  /**
   * Checks that the user sees the rows of the tables. Undefined if every user does.
   *
   * @throws {INVALID_STATE} when policies of row-level security hide them
   */
  checkRows?(): Promise<void>
  /**
   * Returns true if an error says that everything was rolled back in favour of another transaction: a deadlock or a
   * serialization failure. Undefined if that never happens.
   */
  wasRolledBack?(error: unknown): boolean
  /** Returns a number that changes after each commit of another process on SQLite. Always 0 on PostgreSQL, which has none. */
  dataVersion(): number
  /**
   * Checks that the path still leads to the open SQLite file. If not, every call fails until it does again.
   *
   * @throws {DATABASE_MOVED} when the file was deleted, renamed or replaced
   */
  checkFile?(): Promise<void>
  /**
   * Returns the time of the server, over `transaction` if one is given. Only a database that several machines share has a
   * server.
   */
  serverTime?(transaction?: Pick<Executor, 'run'>): Promise<Date | undefined>
  /**
   * Runs `body`, and overwrites with zeros what it deletes. Then removes what the write-ahead log has of it. Returns false if
   * others were reading all the time, so that the log still has it. Only SQLite keeps deleted data in its files.
   */
  overwriting?(body: () => Promise<void>): Promise<boolean>
  /**
   * Moves the write-ahead log into the file as far as nobody uses it. A commit does so if the log is long, and takes long
   * then: who writes much calls this more often, so that others do not wait for it. Undefined if the database does so in the
   * background.
   */
  moveLog?(): Promise<void>
  /** Copies the database, as it is now, into a new file. Returns the size of the file in bytes. Only SQLite can. */
  backup?(file: string, steps: BackupSteps): Promise<number>
  /** Returns the size of the database in bytes. */
  size(): Promise<number>
  /** Returns the name and the version of the server, or of the library, such as `PostgreSQL 17.2`. */
  server(): Promise<string>
  /** Row-level security. Only PostgreSQL has it. */
  readonly rowLevelSecurity?: RowLevelSecurity
  /** Checks what only this dialect knows. May read the whole database. */
  diagnose(): Promise<Finding[]>
  close(): Promise<void>
}

/** The policies that let a transaction see the rows of one owner. */
export interface RowLevelSecurity {
  /** Returns true if the tables have policies. */
  isEnabled(): Promise<boolean>
  /** Gives every table its policies. Safe to repeat. */
  enable(): Promise<void>
  /** Removes the policies. Safe to repeat. */
  disable(): Promise<void>
  /** Checks that every table has its policies, and that the user does not bypass them. */
  check(): Promise<Finding>
}

/** Reads of one moment. Statements run in the order of the calls. */
export interface Snapshot extends Executor {
  close(): Promise<void>
}

/** What a backup calls between two steps. */
export interface BackupSteps {
  /** Throws if the backup is to end. */
  check(): void
  progress?: ((pages: number, total: number) => void) | undefined
}

export interface BeginOptions {
  /** How long the transaction may take, by the clock of the caller. A server ends it a second later, if the caller is frozen. */
  timeoutMillis?: number | undefined
  /** Since when `timeoutMillis` counts, as `performance.now()` has it. Default: now. */
  since?: number | undefined
  /** Throws if the caller waits no longer: then the transaction does not begin. */
  check?: () => void
  /** True if PostgreSQL has to refuse what could not happen if transactions ran one after the other. Default false. */
  isSerializable?: boolean
  /** How long a serializable transaction waits for others of all processes that take turns. Default: it takes no turn. */
  turnMillis?: number | undefined
}

/** A transaction of a driver. Statements run in the order of the calls. */
export interface DriverTransaction {
  run(query: Query): Promise<readonly Row[]>
  /** Commits. Rejects if the transaction did not commit. */
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Rolls back without waiting for a statement that is under way. */
  abandon(): Promise<void>
}

/** Where a dialect records its migrations, and how it keeps two migrators apart. Names of tables are quoted. */
export interface MigrationJournal {
  /** The journal. It lies in the schema of our tables, so that the same search path finds both. */
  readonly table: string
  /**
   * Drizzle's default journal. It belongs to whatever program migrates its own tables in this database; the first
   * versions of Holdfast wrote there as well.
   */
  readonly sharedTable: string
  /** Returns SQL that selects one row with a column per table: true if the table exists. */
  existence(tables: readonly string[]): string
  /** Rejects if the tables may be there, but are hidden from this user. */
  checkVisible?(): Promise<void>
  /** Creates the journal if it does not exist, with the columns that drizzle-kit gives it. */
  create(execute: Execute): Promise<void>
  /** Runs a query outside of a transaction. */
  readonly read: Execute
  /** Runs `body` in one transaction that no other migrator shares. Foreign keys are checked at its end. */
  exclusively(body: (execute: Execute) => Promise<void>): Promise<void>
}

/** Runs SQL without parameters. */
export type Execute = (sql: string) => Promise<readonly Row[]>
