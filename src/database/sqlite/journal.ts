import { StorageError } from '../../errors.ts'
import type { Execute, MigrationJournal } from '../db.ts'
import type { SqliteConnection } from './connection.ts'
import { sqliteError } from './errors.ts'
import type { WriteQueue } from './write-queue.ts'

/** Makes the journal of the migrations of a file, or of a database in memory. `read` runs a query outside of a transaction. */
export function sqliteJournal(writer: SqliteConnection, queue: WriteQueue, read: Execute): MigrationJournal {
  return {
    table: '"holdfast_migrations"',
    sharedTable: '"__drizzle_migrations"',
    existence: (tables) => {
      const exists = (table: string) =>
        `exists (select 1 from sqlite_master where type = 'table' and name = '${table.replaceAll('"', '')}')`
      return `select ${tables.map(exists).join()}`
    },
    create: async (execute) => {
      await execute(
        'CREATE TABLE IF NOT EXISTS "holdfast_migrations" (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)',
      )
    },
    read,
    exclusively: async (body) => {
      const release = await queue.acquire()
      try {
        // Has no effect after BEGIN. A table that is rebuilt must not cascade into its children.
        writer.exec('PRAGMA foreign_keys = OFF')
        await queue.whenUnlocked(() => writer.control('BEGIN IMMEDIATE'))
        await body(async (sql) => writer.run({ sql, params: [] }))
        if (writer.run({ sql: 'PRAGMA foreign_key_check', params: [] }).length > 0) {
          throw new StorageError(
            'MIGRATION_FAILED',
            'The migration would leave rows that refer to missing rows; it was undone',
          )
        }
        writer.control('COMMIT')
      } catch (error) {
        if (writer.inTransaction) writer.control('ROLLBACK')
        throw sqliteError(error, writer.file)
      } finally {
        writer.exec('PRAGMA foreign_keys = ON')
        release()
      }
    },
  }
}
