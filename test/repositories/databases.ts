import { join } from 'node:path'
import { openStorage, type Storage, type StorageConfig, type StorageOptions } from 'holdfast'
import { describe } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { silent } from '../setup/silent.ts'

/** Opens a storage on the database of the group. In memory, each call opens a new database. */
export type Open = (options?: StorageOptions) => Promise<Storage>

const configurations: Record<string, () => StorageConfig | Promise<StorageConfig>> = {
  'in-memory': () => ({ database: { type: 'in-memory' } }),
  sqlite: () => ({ database: { type: 'sqlite', path: join(freshDirectory(), 'test.db') } }),
  // Defaults that an administrator may have set: no test may rely on the usual ones.
  postgres: async () => {
    const url = await freshPostgres({
      timezone: 'Asia/Kolkata',
      datestyle: 'German, DMY',
      bytea_output: 'escape',
      standard_conforming_strings: 'off',
      extra_float_digits: '-15',
      array_nulls: 'off',
    })
    return { database: { type: 'postgres', url } }
  },
}

/** Defines the same tests for each database. */
export function eachDatabase(define: (open: Open) => void): void {
  for (const [name, configure] of Object.entries(configurations)) {
    let config: StorageConfig | Promise<StorageConfig> | undefined
    describe(name, () => {
      define(async (options) => {
        config ??= configure()
        return openStorage(await config, { logger: silent, ...options })
      })
    })
  }
}
