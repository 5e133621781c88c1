import { type Query as DrizzleQuery, entityKind } from 'drizzle-orm'
import {
  getTableConfig,
  PgDatabase,
  PgDialect,
  PgPreparedQuery,
  PgSession,
  type PreparedQueryConfig,
} from 'drizzle-orm/pg-core'
import { pgColumns } from '../../schema/columns.ts'
import * as tables from '../../schema/postgres.ts'
import { defineSearchEntries } from '../../schema/search-entries.ts'
import type { DialectKit, Executor, RowsHKT } from '../db.ts'
import { COMPILED, compile, execute, type Metadata, transactionsAreOurs } from '../orm.ts'
import type { CompiledQuery } from '../query.ts'

const dialect = new PgDialect()

export const postgresKit: DialectKit = {
  dialect: 'postgres',
  tables,
  entries: defineSearchEntries(pgColumns, { messages: 'message_search', memories: 'memory_search' }),
  ormFor: (executor) =>
    new PgDatabase<RowsHKT, Record<string, never>>(dialect, new PostgresSession(dialect, executor), undefined),
  configOf: getTableConfig,
}

class PostgresPrepared extends PgPreparedQuery<PreparedQueryConfig> {
  static override readonly [entityKind] = 'HoldfastPostgresPrepared'
  readonly [COMPILED]: CompiledQuery
  readonly #executor: Executor

  constructor(executor: Executor, query: DrizzleQuery, fields: unknown, metadata: Metadata) {
    super(query, undefined, undefined)
    this[COMPILED] = compile(query, fields, metadata)
    this.#executor = executor
  }

  override execute(args?: Record<string, unknown>): Promise<unknown> {
    return execute(this.#executor, this[COMPILED], args)
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
