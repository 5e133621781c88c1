import { statSync } from 'node:fs'
import { codeOf } from '../caught.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import { Database } from './database.ts'
import type { DialectKit, Driver } from './db.ts'
import { migrate, neverMigrated, pendingMigrations } from './migrate.ts'
import { MIGRATIONS, type Migration } from './migrations.generated.ts'
import type { VectorSupport } from './sqlite/vectors.ts'

/**
 * Opens the configured database and brings its schema up to date; with `migrate` false only checks it. Fails as the drivers
 * and `migrate` fail.
 *
 * @throws {MIGRATION_PENDING} when `migrate` is false and the SQLite file does not exist
 * @throws {INVALID_STATE} when policies of row-level security hide all rows, since the configuration lacks the option
 */
export async function openDatabase(
  config: ResolvedConfig['database'],
  { migrate: apply, vectors = false }: { migrate: boolean; vectors?: VectorSupport },
): Promise<Database> {
  const driver = await openDriver(config, apply, vectors)
  try {
    // A database in memory starts empty: `migrate: false` has no data to protect.
    await migrate(driver, { apply: apply || config.type === 'in-memory' })
    await driver.checkRows?.()
  } catch (error) {
    await driver.close()
    throw error
  }
  return new Database(driver, config)
}

/** What `migrateDatabase` did, or with `dryRun` would do. */
export interface MigrationRun {
  known: readonly Migration[]
  /** The migrations that this run applied, or would apply. */
  migrations: readonly Migration[]
  /** What is there already. Only of a dry run. */
  found?: { server: string; bytes: number }
}

/**
 * Brings the configured database to this version's schema, or with `dryRun` only says what is missing: then it creates no
 * file. Fails as the drivers and `migrate` fail.
 */
export async function migrateDatabase(
  config: ResolvedConfig['database'],
  { dryRun }: { dryRun: boolean },
): Promise<MigrationRun> {
  if (config.type === 'sqlite' && dryRun && !config.readonly && isAbsent(config.file)) {
    return { known: MIGRATIONS.sqlite, migrations: MIGRATIONS.sqlite }
  }
  // It is migrated whenever it is opened.
  if (config.type === 'in-memory' && dryRun) return { known: MIGRATIONS.sqlite, migrations: [] }
  const driver = await openDriver(config, !dryRun)
  try {
    const known = MIGRATIONS[driver.dialect]
    if (!dryRun) return { known, migrations: await migrate(driver, { apply: true }) }
    const migrations = await pendingMigrations(driver)
    return { known, migrations, found: { server: await driver.server(), bytes: await driver.size() } }
  } finally {
    await driver.close()
  }
}

/** Returns true if there is no file. What may not be looked at, or has a file for a directory, is no reason to make one. */
function isAbsent(file: string): boolean {
  try {
    statSync(file)
    return false
  } catch (error) {
    return codeOf(error) === 'ENOENT' // otherwise opening it says why
  }
}

/** Opens the driver. Its dialect's half of the code, drizzle's included, is loaded only by programs that use it. */
async function openDriver(
  config: ResolvedConfig['database'],
  create: boolean,
  vectors: VectorSupport = false,
): Promise<Driver> {
  switch (config.type) {
    case 'in-memory':
      return (await loadSqlite()).openMemory({ vectors })
    case 'sqlite':
      // Opening the file would create it.
      if (!create && !config.readonly && isAbsent(config.file)) throw neverMigrated(config.file)
      return (await loadSqlite()).openSqlite(config, { vectors })
    case 'postgres':
      return (await import('./postgres/driver.ts')).openPostgres(config)
  }
}

/** Returns the kit of SQLite for a database that is opened later. */
export async function sqliteKit(): Promise<DialectKit> {
  return (await loadSqlite()).sqliteKit
}

let sqlite: typeof import('./sqlite/open.ts') | undefined

/** Loads the driver once: a repeated import() takes longer than SQLite takes to open a file. */
async function loadSqlite() {
  sqlite ??= await import('./sqlite/open.ts')
  return sqlite
}
