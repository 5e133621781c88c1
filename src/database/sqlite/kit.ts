import { type Query as DrizzleQuery, entityKind } from 'drizzle-orm'
import {
  BaseSQLiteDatabase,
  getTableConfig,
  SQLiteAsyncDialect,
  type SQLiteExecuteMethod,
  SQLitePreparedQuery,
  type PreparedQueryConfig as SQLitePreparedQueryConfig,
  SQLiteSession,
} from 'drizzle-orm/sqlite-core'
import type { Columns } from '../../schema/columns.ts'
import { defineSearchEntries } from '../../schema/search-entries.ts'
import * as tables from '../../schema/sqlite.ts'
import { sqliteColumns } from '../../schema/sqlite-columns.ts'
import type { DialectKit, Executor } from '../db.ts'
import { COMPILED, compile, execute, type Metadata, transactionsAreOurs } from '../orm.ts'
import type { CompiledQuery } from '../query.ts'

/**
 * SQLite plans a statement again at each call if its planner has looked at a bare parameter: after LIMIT, or in a condition
 * on a table with a partial index. It does not look behind a unary plus, which changes nothing else. A page of one row takes a
 * fifth of the time, https://sqlite.org/c3ref/prepare.html.
 */
class PlanningOnceDialect extends SQLiteAsyncDialect {
  static override readonly [entityKind] = 'HoldfastSqliteDialect'

  override escapeParam(): string {
    return '+?'
  }
}

const dialect = new PlanningOnceDialect()

const kit = {
  dialect: 'sqlite',
  tables,
  // The cast is that of schema/sqlite.ts.
  entries: defineSearchEntries(sqliteColumns as unknown as Columns, {
    messages: 'message_search_entries',
    memories: 'memory_search_entries',
  }),
  ormFor: (executor: Executor) =>
    new BaseSQLiteDatabase('async', dialect, new SqliteSession(dialect, executor), undefined),
  configOf: getTableConfig,
}

// The dialect seam: the same tables, and the same calls on them, under PostgreSQL's types (see schema/sqlite.ts). `Orm` has
// only what behaves alike in both dialects.
export const sqliteKit = kit as unknown as DialectKit

class SqlitePrepared extends SQLitePreparedQuery<SQLitePreparedQueryConfig & { type: 'async' }> {
  static override readonly [entityKind] = 'HoldfastSqlitePrepared'
  readonly [COMPILED]: CompiledQuery
  readonly #executor: Executor

  constructor(
    executor: Executor,
    query: DrizzleQuery,
    fields: unknown,
    method: SQLiteExecuteMethod,
    metadata: Metadata,
  ) {
    super('async', method, query)
    this[COMPILED] = compile(query, fields, metadata)
    this.#executor = executor
  }

  override all(args?: Record<string, unknown>): Promise<unknown> {
    return execute(this.#executor, this[COMPILED], args)
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
