import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import type { Tables } from '../schema/tables.ts'
import type { Query, Row } from './query.ts'

export type Dialect = 'sqlite' | 'postgres'

/** A query's result is its rows: none where it returns nothing. */
export interface RowsHKT extends PgQueryResultHKT {
  type: this['row'][]
}

/** Drizzle's builder, as far as both dialects mean the same by it. SQLite's is cast to it once, where it is made. */
export type Orm = Pick<
  PgDatabase<RowsHKT, Record<string, never>>,
  'select' | 'selectDistinct' | 'insert' | 'update' | 'delete' | 'with' | '$with'
>

/** Sends queries: the database as a whole, or one transaction. */
export interface Executor {
  run(query: Query): Promise<readonly Row[]>
  /** All or nothing, in one round trip where the dialect can: no query sees another's result on the way. */
  batch(queries: readonly Query[]): Promise<(readonly Row[])[]>
}

/**
 * The one handle that repositories take: the database, or a transaction in it. Hot queries go through `statement`,
 * those whose shape varies through `orm`.
 */
export interface Db extends Executor {
  readonly dialect: Dialect
  readonly tables: Tables
  readonly orm: Orm
  /** Runs `body` in a transaction, or in a savepoint where this is one; what `body` throws rolls back. */
  transaction<T>(body: (tx: Db) => Promise<T>): Promise<T>
}

/** The narrow seam that SQLite and PostgreSQL implement. Errors come out as StorageError. */
export interface Driver extends Executor {
  readonly dialect: Dialect
  /** Waits its turn, then opens a transaction that owns its connection until it ends. */
  begin(): Promise<DriverTransaction>
  readonly journal: MigrationJournal
  /** Changes after each commit of another process, where the database tells (SQLite); else always 0. */
  dataVersion(): number
  /** The time of the server. Only a database that several machines share has one. */
  serverTime?(): Promise<Date | undefined>
  /** Bytes that the database takes. */
  size(): Promise<number>
  close(): Promise<void>
}

/** Statements run in the order of the calls. */
export interface DriverTransaction {
  run(query: Query): Promise<readonly Row[]>
  /** Rejects when the transaction did not commit. */
  commit(): Promise<void>
  rollback(): Promise<void>
}

/** Where a dialect records its migrations, and how it keeps two migrators apart. Names of tables are quoted. */
export interface MigrationJournal {
  /** The journal: a table beside ours, so that it is found where they are found. */
  readonly table: string
  /**
   * Drizzle's default journal. It belongs to whatever program migrates its own tables in this database; the first
   * versions of Holdfast wrote there as well.
   */
  readonly sharedTable: string
  /** SQL that returns one row: for each table, whether it exists. */
  existence(tables: readonly string[]): string
  /** SQL that creates the journal if it does not exist, as drizzle-kit does. */
  create(execute: Execute): Promise<void>
  /** Runs a query outside of a transaction. */
  readonly read: Execute
  /** Runs `body` in one transaction that no other migrator shares. Foreign keys are checked at its end. */
  exclusively(body: (execute: Execute) => Promise<void>): Promise<void>
}

/** Runs SQL without parameters. */
export type Execute = (sql: string) => Promise<readonly Row[]>
