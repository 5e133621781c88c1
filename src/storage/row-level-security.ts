import { resolveConfig } from '../config/resolve.ts'
import type { StorageConfig, StorageConfigFile } from '../config/types.ts'
import type { RowLevelSecurity } from '../database/db.ts'
import { openDatabase } from '../database/open.ts'
import type { Finding } from '../diagnosis/findings.ts'
import { StorageError } from '../errors.ts'

/**
 * Gives every table of the configured PostgreSQL database the policies of row-level security: a transaction then sees the rows
 * of the owner that it names, and without a name none. Programs that have the database open without
 * `database.options.rowLevelSecurity` see nothing any more. The user must own the tables. Safe to repeat.
 *
 * @throws {INVALID_STATE} when the database is not PostgreSQL
 * @throws {PRIVILEGE_MISSING} when the user does not own the tables
 * @throws {CONFIG_INVALID} when the configuration is not valid
 * @throws {DRIVER_MISSING} when the package postgres is not installed
 * @throws {CONNECTION_FAILED} when the database cannot be used as configured
 * @throws {MIGRATION_PENDING} when the schema is not up to date
 * @throws {SCHEMA_TOO_NEW} when a newer version of the package has migrated the database
 * @throws {SCHEMA_DIVERGED} when the database has other migrations than this version of the package
 * @throws {TIMEOUT} when another process migrates, or uses a table, for too long
 *
 * @example
 * ```ts
 * import { enableRowLevelSecurity } from 'holdfast'
 * await enableRowLevelSecurity({}).catch(({ code }) => console.log(code)) // INVALID_STATE: it is in memory
 * ```
 */
export async function enableRowLevelSecurity(config?: StorageConfig | StorageConfigFile): Promise<void> {
  await withPolicies(config, (policies) => policies.enable())
}

/**
 * Removes the policies of row-level security. Programs with `database.options.rowLevelSecurity` then refuse to open. The user
 * must own the tables. Safe to repeat. Fails as `enableRowLevelSecurity` fails.
 *
 * @throws {INVALID_STATE} when the database is not PostgreSQL
 * @throws {PRIVILEGE_MISSING} when the user does not own the tables
 *
 * @example
 * ```ts
 * import { disableRowLevelSecurity } from 'holdfast'
 * await disableRowLevelSecurity({}).catch(({ code }) => console.log(code)) // INVALID_STATE: it is in memory
 * ```
 */
export async function disableRowLevelSecurity(config?: StorageConfig | StorageConfigFile): Promise<void> {
  await withPolicies(config, (policies) => policies.disable())
}

/**
 * Checks row-level security as the configured user: fails if a table lacks its policies, or if they do not hold for this user,
 * who is a superuser or has BYPASSRLS. Reads catalogs only. Fails as `enableRowLevelSecurity` fails. Safe to repeat.
 *
 * @throws {INVALID_STATE} when the database is not PostgreSQL
 *
 * @example
 * ```ts
 * import { checkRowLevelSecurity } from 'holdfast'
 * await checkRowLevelSecurity({}).catch(({ code }) => console.log(code)) // INVALID_STATE: it is in memory
 * ```
 */
export async function checkRowLevelSecurity(config?: StorageConfig | StorageConfigFile): Promise<Finding> {
  return withPolicies(config, (policies) => policies.check())
}

async function withPolicies<T>(
  config: StorageConfig | StorageConfigFile | undefined,
  work: (policies: RowLevelSecurity) => Promise<T>,
): Promise<T> {
  const resolved = resolveConfig(config).database
  if (resolved.type !== 'postgres') throw onlyPostgres()
  // With the option it also opens a database that has policies.
  const database = await openDatabase({ ...resolved, rowLevelSecurity: true }, { migrate: false })
  try {
    const { rowLevelSecurity } = database.driver
    if (rowLevelSecurity === undefined) throw onlyPostgres()
    return await work(rowLevelSecurity)
  } finally {
    await database.close()
  }
}

function onlyPostgres(): StorageError {
  const message = 'Row-level security is a feature of PostgreSQL: set database.type to postgres'
  return new StorageError('INVALID_STATE', message)
}
