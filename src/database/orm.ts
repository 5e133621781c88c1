import { type Query as DrizzleQuery, entityKind } from 'drizzle-orm'
import { PgDatabase, PgDialect, PgPreparedQuery, PgSession, type PreparedQueryConfig } from 'drizzle-orm/pg-core'
import {
  BaseSQLiteDatabase,
  SQLiteAsyncDialect,
  type SQLiteExecuteMethod,
  SQLitePreparedQuery,
  type PreparedQueryConfig as SQLitePreparedQueryConfig,
  SQLiteSession,
} from 'drizzle-orm/sqlite-core'
import type { Dialect, Executor, Orm, RowsHKT } from './db.ts'
import { type CompiledQuery, compileQuery, decodeAll, type SelectedField } from './query.ts'

/**
 * Makes drizzle's query builder for an executor. Drizzle builds the SQL, and the executor runs the SQL, so that SQLite's
 * write queue and PostgreSQL's batches serve every query.
 */
export function ormFor(dialect: Dialect, executor: Executor): Orm {
  return dialect === 'postgres'
    ? new PgDatabase<RowsHKT, Record<string, never>>(pgDialect, new PostgresSession(pgDialect, executor), undefined)
    : sqliteOrm(executor)
}

function sqliteOrm(executor: Executor): Orm {
  const orm = new BaseSQLiteDatabase('async', sqliteDialect, new SqliteSession(sqliteDialect, executor), undefined)
  // The dialect seam: the same calls on the other dialect's tables. `Orm` has only what behaves alike in both dialects.
  return orm as unknown as Orm
}

/** Returns the compiled query inside a builder's prepared query, which is of one of the two classes below. */
export function compiledBy(prepared: unknown): CompiledQuery {
  if (prepared instanceof PostgresPrepared || prepared instanceof SqlitePrepared) return prepared.compiled
  throw new TypeError('A statement must be built with the orm that its builder is given')
}

const pgDialect = new PgDialect()
const sqliteDialect = new SQLiteAsyncDialect()

type Metadata = { type: 'select' | 'update' | 'delete' | 'insert' } | undefined

function compile(query: DrizzleQuery, fields: unknown, metadata: Metadata): CompiledQuery {
  // drizzle passes an ordered list of {path, field}, or undefined if the query returns nothing.
  return compileQuery(query, fields as SelectedField[] | undefined, metadata?.type !== 'select')
}

async function execute(executor: Executor, compiled: CompiledQuery, args: Record<string, unknown> = {}) {
  const rows = await executor.run({ sql: compiled.sql, writes: compiled.writes, params: compiled.encode(args) })
  return decodeAll(rows, compiled.decode)
}

function transactionsAreOurs(): never {
  throw new TypeError("Use the database's transaction(), not drizzle's")
}

class PostgresPrepared extends PgPreparedQuery<PreparedQueryConfig> {
  static override readonly [entityKind] = 'HoldfastPostgresPrepared'
  readonly compiled: CompiledQuery
  readonly #executor: Executor

  constructor(executor: Executor, query: DrizzleQuery, fields: unknown, metadata: Metadata) {
    super(query, undefined, undefined)
    this.compiled = compile(query, fields, metadata)
    this.#executor = executor
  }

  override execute(args?: Record<string, unknown>): Promise<unknown> {
    return execute(this.#executor, this.compiled, args)
  }
}

class PostgresSession extends PgSession<RowsHKT> {
  static override readonly [entityKind] = 'HoldfastPostgresSession'
  readonly #executor: Executor

  constructor(dialect: PgDialect, executor: Executor) {
    super(dialect)
    this.#executor = executor
  }

  override prepareQuery<T extends PreparedQueryConfig>(
    query: DrizzleQuery,
    fields: unknown,
    _name: string | undefined,
    _arrays: boolean,
    _mapper?: unknown,
    metadata?: Metadata,
  ): PgPreparedQuery<T> {
    return new PostgresPrepared(this.#executor, query, fields, metadata)
  }

  override transaction(): never {
    return transactionsAreOurs()
  }
}

class SqlitePrepared extends SQLitePreparedQuery<SQLitePreparedQueryConfig & { type: 'async' }> {
  static override readonly [entityKind] = 'HoldfastSqlitePrepared'
  readonly compiled: CompiledQuery
  readonly #executor: Executor

  constructor(
    executor: Executor,
    query: DrizzleQuery,
    fields: unknown,
    method: SQLiteExecuteMethod,
    metadata: Metadata,
  ) {
    super('async', method, query)
    this.compiled = compile(query, fields, metadata)
    this.#executor = executor
  }

  override all(args?: Record<string, unknown>): Promise<unknown> {
    return execute(this.#executor, this.compiled, args)
  }

  override run(args?: Record<string, unknown>): Promise<unknown> {
    return this.all(args)
  }

  override get(): never {
    throw new TypeError('The PostgreSQL builder has no get(): await the query and take its first row')
  }

  override values(): never {
    throw new TypeError('The PostgreSQL builder has no values(): await the query')
  }
}

class SqliteSession extends SQLiteSession<'async', unknown, Record<string, never>, Record<string, never>> {
  static override readonly [entityKind] = 'HoldfastSqliteSession'
  readonly #executor: Executor

  constructor(dialect: SQLiteAsyncDialect, executor: Executor) {
    super(dialect)
    this.#executor = executor
  }

  override prepareQuery(
    query: DrizzleQuery,
    fields: unknown,
    method: SQLiteExecuteMethod,
    _arrays: boolean,
    _mapper?: unknown,
    metadata?: Metadata,
  ): SqlitePrepared {
    return new SqlitePrepared(this.#executor, query, fields, method, metadata)
  }

  override transaction(): never {
    return transactionsAreOurs()
  }
}
