import { getTableName } from 'drizzle-orm'
import type { ResolvedPostgres } from '../../config/resolved.ts'
import type { Finding } from '../../diagnosis/findings.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import { countersOf } from '../../observability/counters.ts'
import type {
  BeginOptions,
  Driver,
  DriverTransaction,
  Executor,
  MigrationJournal,
  RowLevelSecurity,
  Snapshot,
} from '../db.ts'
import type { Query, Row } from '../query.ts'
import type { PostgresConnection } from './connection.ts'
import { diagnosePostgres } from './diagnosis.ts'
import { hiddenByPolicies, wasRolledBack, whileReading } from './errors.ts'
import { postgresKit } from './kit.ts'
import { PostgresPool } from './pool.ts'
import { schemaHidden } from './privileges.ts'
import * as security from './row-level-security.ts'
import { beginSerializable } from './serializable.ts'
import { serverLimits } from './server-limits.ts'
import { addressesOf } from './socket.ts'
import { VisibleRows } from './visible-rows.ts'

export { PostgresListener } from './listener.ts' // a chunk of its own would be one more file to load

/** The journal's name without a schema: the search path finds it, as it finds our tables. */
const JOURNAL = '"holdfast_migrations"'
/** The key of the advisory lock. Any number, the same in every process that migrates. */
const MIGRATION_LOCK = 7_309_442_112

/** How often a call is tried. Bounded, because a read whose connection was lost may itself be what ends the connections. */
const ATTEMPTS = 3

/** Names the isolation level, so that it does not depend on a default of the server or the role. */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED'

/**
 * Connects to PostgreSQL.
 *
 * @throws {DRIVER_MISSING} when postgres.js is not installed, or its version is not supported
 * @throws {CONNECTION_FAILED} when the server does not accept the connection, or is not one that Holdfast can use
 */
export async function openPostgres(config: ResolvedPostgres): Promise<Driver> {
  const namespace = namespaceOf(config)
  const pool = await PostgresPool.open(config, countersOf({ database: 'postgres', namespace }))
  return new PostgresDriver(config, pool, namespace)
}

class PostgresDriver implements Driver {
  readonly dialect = 'postgres'
  readonly kit = postgresKit
  readonly namespace: string | undefined
  readonly #pool: PostgresPool
  readonly #schema: string | undefined
  readonly #migrationLockTimeoutMillis: number
  readonly #maxConnections: number
  /** True if each transaction says whose rows it works with. */
  readonly #isSecured: boolean

  constructor(config: ResolvedPostgres, pool: PostgresPool, namespace: string | undefined) {
    this.#pool = pool
    this.namespace = namespace
    this.#schema = config.schema
    this.#migrationLockTimeoutMillis = config.migrationLockTimeoutMillis
    this.#maxConnections = config.maxConnections
    this.#isSecured = config.rowLevelSecurity
  }

  run(query: Query): Promise<readonly Row[]> {
    return this.#send(query.writes, (connection) =>
      connection.session.isReadCommitted && !this.#isSecured
        ? connection.run(query)
        : this.#runAll(connection, [query]).then(firstRows),
    )
  }

  async batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    const [only] = queries
    if (queries.length <= 1) return only === undefined ? [] : [await this.run(only)]
    const writes = queries.some((query) => query.writes)
    return this.#send(writes, (connection) => this.#runAll(connection, queries))
  }

  /**
   * Runs queries as one transaction in one round trip: all are sent before the first is answered. No query of another caller
   * can come in between, so the transaction does not have to own the connection. If a query fails, the server turns COMMIT
   * into ROLLBACK.
   */
  async #runAll(connection: PostgresConnection, queries: readonly Query[]): Promise<(readonly Row[])[]> {
    const { rows, begun } = this.#isSecured
      ? VisibleRows.begin(connection, BEGIN, queries[0])
      : { rows: connection, begun: connection.begin(BEGIN) }
    const sent = Promise.all([Promise.all(queries.map((query) => rows.run(query))), begun])
    const [results, end] = await Promise.allSettled([sent, connection.command('COMMIT')])
    if (results.status === 'rejected') throw results.reason
    if (end.status === 'rejected') throw end.reason
    if (end.value !== 'COMMIT') throw rolledBack()
    return results.value[0]
  }

  async #send<T>(writes: boolean, send: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#pool.shared(send)
      } catch (error) {
        // A read changes nothing, so it is repeated over a new connection. A write is not: it may have been committed. A
        // call that PostgreSQL rolled back in favour of another (a deadlock) had no effect at all, so it is repeated.
        const mayRepeat = wasRolledBack(error) || (!writes && isStorageError(error, 'CONNECTION_LOST'))
        if (!mayRepeat || attempt === ATTEMPTS) throw writes ? error : whileReading(error)
      }
    }
  }

  async begin(options: BeginOptions = {}): Promise<DriverTransaction> {
    const { timeoutMillis, since = performance.now(), isSerializable, turnMillis } = options
    const connection = await this.#pool.exclusive(options.check)
    // Not awaited: the first statement is pipelined behind BEGIN.
    const begun = isSerializable ? beginSerializable(connection, turnMillis) : connection.begin(BEGIN)
    begun.catch(() => {})
    if (timeoutMillis !== undefined) {
      const setLimits = () => connection.run(serverLimits(since + timeoutMillis - performance.now()))
      void (isSerializable ? begun.then(setLimits) : setLimits()).catch(() => {}) // what follows fails as well
    }
    const finish = async (command: 'COMMIT' | 'ROLLBACK') => {
      try {
        await begun
        const done = await connection.command(command)
        if (done !== command) throw rolledBack()
      } finally {
        this.#pool.release(connection)
      }
    }
    const rows = this.#isSecured ? new VisibleRows(connection) : connection
    // A standby refuses BEGIN, and would run a pipelined statement outside of a transaction.
    const runOnceBegun = async (query: Query) => {
      await begun
      return rows.run(query)
    }
    return {
      run: isSerializable ? runOnceBegun : (query) => rows.run(query),
      commit: () => finish('COMMIT'),
      rollback: () => finish('ROLLBACK'),
      abandon: async () => {
        connection.retired = true // a deadline says nothing about the other connections
        connection.abandon() // the server rolls back when it notices
      },
    }
  }

  async snapshot(): Promise<Snapshot> {
    const connection = await this.#pool.own()
    const release = async () => {
      try {
        await connection.command('ROLLBACK')
      } finally {
        await connection.close()
      }
    }
    const failed = (error: unknown) => Promise.reject(whileReading(error))
    const run = (query: Query) => connection.run(query).catch(failed)
    try {
      await connection.command('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
      // Whoever reads may wait for a slow disk between two statements.
      await connection.command('SET LOCAL idle_in_transaction_session_timeout = 0')
      if (this.#isSecured) await connection.command(security.visibility(security.ANYBODY))
      await run({ sql: 'select 1', params: [], writes: false }) // the snapshot is that of the first query
    } catch (error) {
      await release().catch(() => {}) // the first error says why
      throw whileReading(error)
    }
    return { run, batch: (queries) => Promise.all(queries.map(run)), close: release }
  }

  get journal(): MigrationJournal {
    const schema = this.#schema
    return {
      table: JOURNAL,
      sharedTable: `${quote(schema ?? 'drizzle')}."__drizzle_migrations"`,
      existence: (tables) => `select ${tables.map(existsVisibly).join()}`,
      checkVisible: () => this.#checkVisible(),
      create: async (execute) => {
        if (schema !== undefined) {
          // CREATE SCHEMA IF NOT EXISTS would require the privilege to create one even if the schema exists.
          const found = await execute(`select 1 from pg_namespace where nspname = ${literal(schema)}`)
          if (found.length === 0) await execute(`CREATE SCHEMA ${quote(schema)}`)
        }
        await execute(
          `CREATE TABLE IF NOT EXISTS ${JOURNAL} (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)`,
        )
      },
      read: (sql) => this.run({ sql, params: [], writes: false }),
      exclusively: async (body) => {
        const transaction = await this.begin()
        const execute = (sql: string) => transaction.run({ sql: withoutPublicSchema(sql), params: [], writes: true })
        try {
          await execute(`set local lock_timeout = ${this.#migrationLockTimeoutMillis}`)
          await execute(`select pg_advisory_xact_lock(${MIGRATION_LOCK})`).catch((error) => {
            throw isStorageError(error, 'TIMEOUT') ? this.#migrationLockHeld(error) : error
          })
          await execute(security.visibility(security.ANYBODY)) // a migration may change rows
          await body((sql) => execute(sql).catch((error) => Promise.reject(this.#tableInUse(sql, error))))
          // A migration may have created tables.
          if (await security.hasRowLevelSecurity(execute))
            await security.enableRowLevelSecurity(execute, this.kit.tables)
        } catch (error) {
          await transaction.rollback().catch(() => {})
          throw error
        }
        await transaction.commit()
      },
    }
  }

  /**
   * Checks that the user may use the schemas of its search path: PostgreSQL passes over the others without a word.
   *
   * @throws {PRIVILEGE_MISSING} when the user lacks USAGE on one of the schemas
   */
  async #checkVisible(): Promise<void> {
    const sql = `select n.nspname, current_user::text from unnest(string_to_array(current_setting('search_path'), ',')) as entry (name)
      join pg_namespace n on n.nspname = replace(btrim(entry.name, ' "'), '$user', current_user)
      where not has_schema_privilege(n.oid, 'USAGE')`
    const [hidden] = await this.run({ sql, params: [], writes: false })
    if (hidden !== undefined) throw schemaHidden(String(hidden[0]), String(hidden[1]))
  }

  #migrationLockHeld(cause: unknown): StorageError {
    const millis = this.#migrationLockTimeoutMillis
    const message = `Another process held the migration lock (advisory lock ${MIGRATION_LOCK}) for ${millis} ms: wait for it, or raise options.migrationLockTimeoutMillis`
    return new StorageError('TIMEOUT', message, { cause, retryable: true })
  }

  /** Returns what it means that a statement which changes tables has failed. */
  #tableInUse(sql: string, error: unknown): unknown {
    // As isLockTimeout(), whose file would make one more chunk to load.
    if (!isStorageError(error, 'TIMEOUT') || error.details.postgresCode !== '55P03') return error
    const [statement] = sql.trim().split('\n')
    const millis = this.#migrationLockTimeoutMillis
    const message = `For ${millis} ms another session used a table that is to change (${statement}): end its transaction, or raise options.migrationLockTimeoutMillis`
    return new StorageError('TIMEOUT', message, { cause: error, retryable: true })
  }

  /** Checks that policies hide no row: without the option, no transaction says whose rows it works with. */
  async checkRows(): Promise<void> {
    if (this.#isSecured) return
    const isFiltered = await this.#pool.shared(async ({ session }) => session.isFiltered)
    if (isFiltered) throw hiddenByPolicies()
  }

  wasRolledBack(error: unknown): boolean {
    return wasRolledBack(error)
  }

  dataVersion(): number {
    return 0
  }

  async serverTime(transaction: Pick<Executor, 'run'> = this): Promise<Date | undefined> {
    const [row] = await transaction.run({ sql: 'select clock_timestamp()', params: [], writes: false })
    return row?.[0] instanceof Date ? row[0] : undefined
  }

  async size(): Promise<number> {
    const sql = `select sum(pg_total_relation_size(c.oid)) from pg_class c where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relkind = 'r'`
    const [row] = await this.run({ sql, params: [], writes: false })
    return Number(row?.[0] ?? 0)
  }

  async server(): Promise<string> {
    const [row] = await this.run({ sql: 'show server_version', params: [], writes: false })
    return `PostgreSQL ${row?.[0]}`
  }

  diagnose(): Promise<Finding[]> {
    const tables = Object.values(this.kit.tables).map((table) => getTableName(table))
    const { rowLevelSecurity } = this
    const server = { begin: () => this.begin(), read: this.journal.read, rowLevelSecurity }
    return diagnosePostgres(server, { tables, maxConnections: this.#maxConnections, isSecured: this.#isSecured })
  }

  get rowLevelSecurity(): RowLevelSecurity {
    const { read, exclusively } = this.journal
    const { tables } = this.kit
    return {
      isEnabled: () => security.hasRowLevelSecurity(read),
      enable: () => exclusively((execute) => security.enableRowLevelSecurity(execute, tables)),
      disable: () => exclusively((execute) => security.disableRowLevelSecurity(execute, tables)),
      check: () => security.checkRowLevelSecurity(read, tables),
    }
  }

  close(): Promise<void> {
    return this.#pool.close()
  }
}

/** Returns the rows of the first query. */
function firstRows([rows = []]: (readonly Row[])[]): readonly Row[] {
  return rows
}

/**
 * Returns SQL that is true if this user may read a table. The name of a schema that the user may not use would make
 * to_regclass fail.
 */
function existsVisibly(table: string): string {
  if (!table.includes('.')) return `to_regclass(${literal(table)}) is not null`
  return `exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where format('"%s"."%s"', replace(n.nspname, '"', '""'), c.relname) = ${literal(table)}
    and has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT'))`
}

/** Returns the names of the database and of the schema, as OpenTelemetry wants them. Undefined if the url names no database. */
function namespaceOf({ connection, schema }: ResolvedPostgres): string | undefined {
  const [address] = addressesOf(connection)
  return address?.database === undefined || schema === undefined ? address?.database : `${address.database}|${schema}`
}

/** Removes the schema "public", which drizzle-kit writes into foreign keys: the search path decides where the tables lie. */
function withoutPublicSchema(sql: string): string {
  return sql.replaceAll('"public".', '')
}

function rolledBack(): StorageError {
  const message =
    'A statement of this transaction failed and its error was ignored: PostgreSQL rolled the transaction back'
  return new StorageError('TRANSACTION_MISUSE', message)
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}
