import * as z from 'zod/mini'
import { resolveConfig } from '../config/resolve.ts'
import type { StorageConfig, StorageConfigFile } from '../config/types.ts'
import { migrateDatabase } from '../database/open.ts'
import { parseInput } from '../validation/input.ts'
import type { MigrateOptions, MigrationReport } from './migration-report.ts'

const optionsSchema = z.strictObject({
  baseDir: z.optional(z.string()),
  dryRun: z.optional(z.boolean()),
}) satisfies z.ZodMiniType<MigrateOptions>

/**
 * Brings the configured database to this version's schema: the step of a deployment before the program starts. Opens nothing
 * else. Any number of processes may do so at once. With `dryRun` changes nothing and creates no file. Safe to repeat.
 *
 * @throws {CONFIG_INVALID} when the configuration is not valid; the error names every problem
 * @throws {DRIVER_MISSING} when the package of the configured database is not installed
 * @throws {CONNECTION_FAILED} when the database cannot be used as configured
 * @throws {PRIVILEGE_MISSING} when the PostgreSQL user may not read the tables, or not migrate
 * @throws {MIGRATION_FAILED} when a migration failed; all migrations are rolled back
 * @throws {SCHEMA_TOO_NEW} when a newer version of the package has migrated the database
 * @throws {SCHEMA_DIVERGED} when the database has other migrations than this version of the package
 * @throws {READ_ONLY} when a migration is pending and the database is read-only
 * @throws {TIMEOUT} when another process migrates, or uses a table that a migration changes, for too long
 * @throws {INVALID_INPUT} when an option is not valid
 *
 * @example
 * ```ts
 * import { migrateStorage } from 'holdfast'
 * const report = await migrateStorage({ database: { type: 'sqlite', path: './data/agent.db' } })
 * console.log(report.migrations.length === report.known) // true: the file is new
 * ```
 */
export async function migrateStorage(
  config?: StorageConfig | StorageConfigFile,
  options: MigrateOptions = {},
): Promise<MigrationReport> {
  const { baseDir, dryRun = false } = parseInput(optionsSchema, options, 'options')
  const { database } = resolveConfig(config, { baseDir })
  const { known, migrations, found } = await migrateDatabase(database, { dryRun })
  return {
    database: database.type,
    ...found,
    known: known.length,
    migrations: migrations.map((migration) => ({
      number: known.indexOf(migration),
      sql: migration.sql.map((statement) => statement.trim()),
    })),
  }
}
