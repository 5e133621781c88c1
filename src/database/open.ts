import { existsSync } from 'node:fs'
import type { ResolvedConfig } from '../config/resolve.ts'
import { Database } from './database.ts'
import type { Driver } from './db.ts'
import { migrate, neverMigrated } from './migrate.ts'
import { openMemory, openSqlite } from './sqlite/driver.ts'

/** Opens the configured database with its schema in place. Errors: those of the drivers and of `migrate`. */
export async function openDatabase(
  config: ResolvedConfig['database'],
  { migrate: apply }: { migrate: boolean },
): Promise<Database> {
  const driver = await openDriver(config, apply)
  try {
    // A database in memory starts empty: there is nothing to keep from changing.
    await migrate(driver, { apply: apply || config.type === 'in-memory' })
  } catch (error) {
    await driver.close()
    throw error
  }
  return new Database(driver)
}

async function openDriver(config: ResolvedConfig['database'], create: boolean): Promise<Driver> {
  switch (config.type) {
    case 'in-memory':
      return openMemory()
    case 'sqlite':
      // To open it would be to create it.
      if (!create && !config.readonly && !existsSync(config.file)) throw neverMigrated('sqlite')
      return openSqlite(config)
    case 'postgres':
      return (await import('./postgres/driver.ts')).openPostgres(config) // a good part of the code, for those who use it
  }
}
