import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import { migrate as migrateSqlite } from 'drizzle-orm/better-sqlite3/migrator'
import type { MigrationMeta } from 'drizzle-orm/migrator'
import { drizzle as drizzlePostgres } from 'drizzle-orm/postgres-js'
import { migrate as migratePostgres } from 'drizzle-orm/postgres-js/migrator'
import { openStorage, type Storage, type StorageConfig, type StorageOptions } from 'holdfast'
import postgres from 'postgres'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { Dialect, Driver } from '../../src/database/db.ts'
import { migrate } from '../../src/database/migrate.ts'
import { openPostgres } from '../../src/database/postgres/driver.ts'
import { openSqlite } from '../../src/database/sqlite/open.ts'
import { emptyPostgres, freshDirectory } from '../setup/databases.ts'
import { silent } from '../setup/silent.ts'

/** A database of one dialect, with access through Holdfast, through drizzle's own migrator, and by plain SQL. */
export interface TestDatabase {
  readonly dialect: Dialect
  /** The path of the file, or the URL. */
  readonly location: string
  open(options?: StorageOptions): Promise<Storage>
  /** Runs Holdfast's migrator with another history. */
  migrate(known: readonly MigrationMeta[]): Promise<void>
  /** Runs drizzle's own migrator. */
  stockMigrate(folder: string): Promise<void>
  query(sql: string): Promise<unknown[]>
}

export const dialects: Dialect[] = ['sqlite', 'postgres']

export async function freshDatabase(dialect: Dialect): Promise<TestDatabase> {
  return dialect === 'sqlite'
    ? sqliteDatabase(join(freshDirectory(), 'test.db'))
    : postgresDatabase(await emptyPostgres())
}

function sqliteDatabase(path: string): TestDatabase {
  const withFile = async <T>(use: (db: BetterSqlite3.Database) => T): Promise<T> => {
    const db = new BetterSqlite3(path)
    try {
      return use(db)
    } finally {
      db.close()
    }
  }
  const config = { database: { type: 'sqlite', path } } as const
  return {
    ...through('sqlite', path, config),
    stockMigrate: (migrationsFolder) => withFile((db) => migrateSqlite(drizzleSqlite(db), { migrationsFolder })),
    query: (sql) =>
      withFile((db) => {
        const statement = db.prepare(sql)
        return statement.reader ? statement.all() : [statement.run()]
      }),
  }
}

function postgresDatabase(url: string): TestDatabase {
  const withClient = async <T>(use: (sql: postgres.Sql) => Promise<T>): Promise<T> => {
    const sql = postgres(url, { max: 1, onnotice: () => {} })
    try {
      return await use(sql)
    } finally {
      await sql.end()
    }
  }
  const config = { database: { type: 'postgres', url } } as const
  return {
    ...through('postgres', url, config),
    stockMigrate: (migrationsFolder) =>
      withClient((sql) => migratePostgres(drizzlePostgres(sql), { migrationsFolder })),
    query: (text) => withClient(async (sql) => [...(await sql.unsafe(text))]),
  }
}

function through(dialect: Dialect, location: string, config: StorageConfig) {
  return {
    dialect,
    location,
    open: (options?: StorageOptions) => openStorage(config, { logger: silent, ...options }),
    async migrate(known: readonly MigrationMeta[]) {
      const driver = await openDriver(config)
      try {
        await migrate(driver, { apply: true, known })
      } finally {
        await driver.close()
      }
    },
  }
}

async function openDriver(config: StorageConfig): Promise<Driver> {
  const { database } = resolveConfig(config)
  if (database.type === 'postgres') return openPostgres(database)
  if (database.type === 'sqlite') return openSqlite(database)
  throw new Error('A database in memory has no history')
}

export const journalOf = (dialect: Dialect) =>
  dialect === 'postgres' ? 'public.holdfast_migrations' : 'holdfast_migrations'

/** Returns the rows of the journal, in their order. */
export async function journal({ dialect, query }: TestDatabase): Promise<{ hash: string; at: number }[]> {
  const rows = await query(`select hash, created_at as at from ${journalOf(dialect)} order by created_at`)
  return (rows as { hash: string; at: unknown }[]).map(({ hash, at }) => ({ hash, at: Number(at) })) // as selected
}

/** Returns everything that a migration can change: tables, columns, indexes, and the journal if there is one. */
export async function fingerprint(database: TestDatabase): Promise<unknown> {
  if (database.dialect === 'sqlite') {
    const all = await database.query('select type, name, tbl_name, sql from sqlite_master order by type, name')
    const own = (all as { tbl_name: string }[]).filter(({ tbl_name }) => !tbl_name.endsWith('_migrations')) // as selected
    return { schema: own, journal: all.length > own.length ? await journal(database) : [] }
  }
  const schema = await database.query(`
    select table_schema, table_name, column_name, data_type, is_nullable from information_schema.columns
    where table_schema in ('public', 'drizzle') order by 1, 2, 3`)
  const indexes = await database.query(
    `select schemaname, indexname, indexdef from pg_indexes where schemaname in ('public', 'drizzle') order by 1, 2`,
  )
  return { schema, indexes, journal: schema.length > 0 ? await journal(database) : [] }
}
