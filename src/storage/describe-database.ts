import { storeNamedBy } from '../blobs/store-identity.ts'
import { resolveConfig } from '../config/resolve.ts'
import type { StorageConfig, StorageConfigFile } from '../config/types.ts'
import { openDatabase } from '../database/open.ts'
import { readSearchSetting } from '../repositories/search/state.ts'
import type { DatabaseDescription } from './database-description.ts'

/**
 * Reads what the configured database says about the programs that use it, so that another program opens it in the same way: a
 * storage without the search would mark their index as out of date. Changes nothing. Safe to repeat.
 *
 * @throws {CONFIG_INVALID} when the configuration is not valid
 * @throws {DRIVER_MISSING} when the package of the configured database is not installed
 * @throws {CONNECTION_FAILED} when the database cannot be used as configured
 * @throws {PRIVILEGE_MISSING} when the PostgreSQL user may not read the tables
 * @throws {MIGRATION_PENDING} when the schema is not up to date
 * @throws {SCHEMA_TOO_NEW} when a newer version of the package has migrated the database
 * @throws {SCHEMA_DIVERGED} when the database has other migrations than this version of the package
 *
 * @example
 * ```ts
 * import { describeDatabase } from 'holdfast'
 * console.log(await describeDatabase()) // { search: false, hasBlobStore: false, rowLevelSecurity: false }
 * ```
 */
export async function describeDatabase(config?: StorageConfig | StorageConfigFile): Promise<DatabaseDescription> {
  const resolved = resolveConfig(config).database
  // With the option it sees the facts of a database that has policies, and of any other.
  const seeing = resolved.type === 'postgres' ? { ...resolved, rowLevelSecurity: true } : resolved
  const database = await openDatabase(seeing, { migrate: false })
  try {
    return {
      search: await readSearchSetting(database),
      hasBlobStore: (await storeNamedBy(database)) !== undefined,
      rowLevelSecurity: (await database.driver.rowLevelSecurity?.isEnabled()) ?? false,
    }
  } finally {
    await database.close()
  }
}
