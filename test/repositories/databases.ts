import { join } from 'node:path'
import { openStorage, type Storage, type StorageConfig, type StorageOptions } from 'holdfast'
import postgres from 'postgres'
import { describe } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { silent } from '../setup/silent.ts'

/** Opens the database of the group, which stays the same, except in memory: there it is a new one each time. */
export type Open = (options?: StorageOptions) => Promise<Storage>

const configurations: Record<string, () => StorageConfig | Promise<StorageConfig>> = {
  'in-memory': () => ({ database: { type: 'in-memory' } }),
  sqlite: () => ({ database: { type: 'sqlite', path: join(freshDirectory(), 'test.db') } }),
  postgres: async () => ({ database: { type: 'postgres', url: await oddPostgres() } }),
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

/** A database that its administrator has set up for people elsewhere: nothing may rely on the defaults. */
async function oddPostgres(): Promise<string> {
  const url = await freshPostgres()
  const sql = postgres(url, { max: 1 })
  const name = new URL(url).pathname.slice(1)
  await sql.unsafe(`ALTER DATABASE ${name} SET timezone = 'Asia/Kolkata'`)
  await sql.unsafe(`ALTER DATABASE ${name} SET datestyle = 'German, DMY'`)
  await sql.end()
  return url
}
