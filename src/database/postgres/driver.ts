import type { PostgresConfig } from '../../config/resolve.ts'
import { StorageError } from '../../errors.ts'
import type { Driver, DriverTransaction, MigrationJournal } from '../db.ts'
import type { Query, Row } from '../query.ts'
import type { PostgresConnection } from './connection.ts'
import { wasRolledBack } from './errors.ts'
import { PostgresPool } from './pool.ts'

/** The search path leads to it, as it does to our tables. */
const JOURNAL = '"holdfast_migrations"'
/** Any number, the same in every process that migrates. */
const MIGRATION_LOCK = 7_309_442_112
/** How many connections a read may lose: it may itself be what ends them. How often a call may give way to another. */
const ATTEMPTS = 3

/** Says its isolation, so that no default of the server or the role decides it. */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED'

/** Connects to PostgreSQL. Errors: DRIVER_MISSING, CONNECTION_FAILED. */
export async function openPostgres(config: PostgresConfig): Promise<Driver> {
  return new PostgresDriver(config, await PostgresPool.open(config))
}

class PostgresDriver implements Driver {
  readonly dialect = 'postgres'
  readonly #pool: PostgresPool
  readonly #schema: string | undefined
  readonly #migrationLockTimeoutMillis: number

  constructor(config: PostgresConfig, pool: PostgresPool) {
    this.#pool = pool
    this.#schema = config.schema
    this.#migrationLockTimeoutMillis = config.migrationLockTimeoutMillis
  }

  run(query: Query): Promise<readonly Row[]> {
    return this.#send(query.writes, (connection) =>
      connection.session.isReadCommitted ? connection.run(query) : runAlone(connection, query),
    )
  }

  async batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    const [only] = queries
    if (queries.length <= 1) return only === undefined ? [] : [await this.run(only)]
    const writes = queries.some((query) => query.writes)
    return this.#send(writes, (connection) => inOneFlight(connection, queries))
  }

  async #send<T>(writes: boolean, send: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#pool.shared(send)
      } catch (error) {
        // A read changes nothing and may be asked again, over a connection made since; a write may have been done. What
        // PostgreSQL rolled back in favour of another (a deadlock) has not been done, all of it.
        const again =
          wasRolledBack(error) || (!writes && error instanceof StorageError && error.code === 'CONNECTION_LOST')
        if (!again || attempt === ATTEMPTS) throw error
      }
    }
  }

  async begin(): Promise<DriverTransaction> {
    const connection = await this.#pool.exclusive()
    // Not awaited: the first statement travels with it, and fails with it.
    const begun = connection.command(BEGIN)
    begun.catch(() => {})
    const finish = async (command: 'COMMIT' | 'ROLLBACK') => {
      try {
        await begun
        const done = await connection.command(command)
        if (done !== command) throw rolledBack()
      } finally {
        this.#pool.release(connection)
      }
    }
    return {
      run: (query) => connection.run(query),
      commit: () => finish('COMMIT'),
      rollback: () => finish('ROLLBACK'),
    }
  }

  get journal(): MigrationJournal {
    const schema = this.#schema
    return {
      table: JOURNAL,
      sharedTable: `${quote(schema ?? 'drizzle')}."__drizzle_migrations"`,
      existence: (tables) => `select ${tables.map((table) => `to_regclass('${table}') is not null`).join()}`,
      create: async (execute) => {
        // Asked first: whoever may not create a schema may use one that is there.
        const exists = `select 1 from pg_namespace where nspname = '${schema?.replaceAll("'", "''")}'`
        if (schema !== undefined && (await execute(exists)).length === 0)
          await execute(`CREATE SCHEMA ${quote(schema)}`)
        await execute(
          `CREATE TABLE IF NOT EXISTS ${JOURNAL} (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)`,
        )
      },
      read: (sql) => this.run({ sql, params: [], writes: false }),
      exclusively: async (body) => {
        const transaction = await this.begin()
        const execute = (sql: string) => transaction.run({ sql: wherePathLeads(sql), params: [], writes: true })
        try {
          await execute(`set local lock_timeout = ${this.#migrationLockTimeoutMillis}`)
          await execute(`select pg_advisory_xact_lock(${MIGRATION_LOCK})`).catch((error) => {
            throw isTimeout(error) ? this.#migrationLockHeld(error) : error
          })
          await body(execute)
        } catch (error) {
          await transaction.rollback().catch(() => {})
          throw error
        }
        await transaction.commit()
      },
    }
  }

  #migrationLockHeld(cause: unknown): StorageError {
    const millis = this.#migrationLockTimeoutMillis
    const message = `Another process held the migration lock (advisory lock ${MIGRATION_LOCK}) for ${millis} ms: wait for it, or raise options.migrationLockTimeoutMillis`
    return new StorageError('TIMEOUT', message, { cause, retryable: true })
  }

  dataVersion(): number {
    return 0
  }

  async serverTime(): Promise<Date | undefined> {
    const [row] = await this.run({ sql: 'select clock_timestamp()', params: [], writes: false })
    return row?.[0] instanceof Date ? row[0] : undefined
  }

  async size(): Promise<number> {
    const sql = `select sum(pg_total_relation_size(c.oid)) from pg_class c where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'`
    const [row] = await this.run({ sql, params: [], writes: false })
    return Number(row?.[0] ?? 0)
  }

  close(): Promise<void> {
    return this.#pool.close()
  }
}

/**
 * Everything is sent before anything is answered. Nothing of another caller can come in between, so the connection need
 * not be owned; where a query fails, the server turns COMMIT into ROLLBACK.
 */
async function inOneFlight(connection: PostgresConnection, queries: readonly Query[]): Promise<(readonly Row[])[]> {
  const sent = Promise.all([connection.command(BEGIN), ...queries.map((query) => connection.run(query))])
  const [results, end] = await Promise.allSettled([sent, connection.command('COMMIT')])
  if (results.status === 'rejected') throw results.reason
  if (end.status === 'rejected') throw end.reason
  if (end.value !== 'COMMIT') throw rolledBack()
  const [, ...rows] = results.value
  return rows
}

/** Runs one statement in a transaction of its own, whose isolation is said. */
async function runAlone(connection: PostgresConnection, query: Query): Promise<readonly Row[]> {
  const [rows = []] = await inOneFlight(connection, [query])
  return rows
}

/** drizzle-kit writes the schema "public" into foreign keys; the tables are where the search path leads. */
function wherePathLeads(sql: string): string {
  return sql.replaceAll('"public".', '')
}

function isTimeout(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'TIMEOUT'
}

function rolledBack(): StorageError {
  const message = 'A statement of this transaction failed and was passed over: PostgreSQL rolled it back'
  return new StorageError('TRANSACTION_MISUSE', message)
}

function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}
