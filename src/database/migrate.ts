import { fileURLToPath } from 'node:url'
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator'
import { StorageError } from '../errors.ts'
import type { Dialect, Driver } from './db.ts'
import type { Row } from './query.ts'

/**
 * Brings the database to this version's schema, or with `apply` false only checks that it is there. Any number of
 * processes may do so at once, and drizzle-kit's `migrate` too: the journal is the same.
 * Errors: MIGRATION_PENDING, MIGRATION_FAILED (nothing was changed), SCHEMA_TOO_NEW, SCHEMA_DIVERGED.
 */
export async function migrate(
  driver: Driver,
  { apply, known = knownMigrations(driver.dialect) }: { apply: boolean; known?: readonly MigrationMeta[] },
): Promise<void> {
  const { journal } = driver
  const select = `select hash, created_at from ${journal.table} order by created_at`
  const pending = pendingAfter(appliedOf(await journal.read(select)), known)
  if (pending.length === 0) return
  if (!apply) throw migrationPending(pending.length, known.length)
  await journal.exclusively(async (execute) => {
    for (const sql of journal.create) await execute(sql)
    // Read again: another process may have migrated while this one waited for its turn.
    for (const migration of pendingAfter(appliedOf(await execute(select)), known)) {
      try {
        for (const sql of migration.sql) await execute(sql)
        await execute(
          `insert into ${journal.table} (hash, created_at) values ('${migration.hash}', ${migration.folderMillis})`,
        )
      } catch (cause) {
        // It may work the next time: a table was in use, or the connection was lost.
        if (cause instanceof StorageError && cause.retryable) throw cause
        throw new StorageError('MIGRATION_FAILED', `Migration ${known.indexOf(migration)} failed; all were undone`, {
          cause,
        })
      }
    }
  })
}

/** MIGRATION_PENDING, for a database that is not there yet. */
export function neverMigrated(dialect: Dialect): StorageError {
  const { length } = knownMigrations(dialect)
  return migrationPending(length, length)
}

function migrationPending(pending: number, known: number): StorageError {
  const message = `${pending} of ${known} migrations are not applied: open once with migrate: true, or run "npx drizzle-kit migrate"`
  return new StorageError('MIGRATION_PENDING', message, { details: { pending } })
}

/** Changes with every migration: rows that were cached under another schema are not read. */
export function schemaHash(dialect: Dialect): string {
  return knownMigrations(dialect).at(-1)?.hash.slice(0, 12) ?? ''
}

interface Applied {
  hash: string
  at: number
}

function appliedOf(rows: readonly Row[]): Applied[] {
  return rows.map(([hash, at]) => ({ hash: String(hash), at: Number(at) }))
}

const packaged = new Map<Dialect, readonly MigrationMeta[]>()

/** What is in the package, read and hashed once. */
function knownMigrations(dialect: Dialect): readonly MigrationMeta[] {
  let known = packaged.get(dialect)
  if (known === undefined) {
    const migrationsFolder = fileURLToPath(new URL(`../../migrations/${dialect}`, import.meta.url))
    known = readMigrationFiles({ migrationsFolder })
    packaged.set(dialect, known)
  }
  return known
}

/** What is left to apply: the journal must be the beginning of the known history. */
function pendingAfter(applied: readonly Applied[], known: readonly MigrationMeta[]): MigrationMeta[] {
  for (const [i, { hash, at }] of applied.entries()) {
    const migration = known[i]
    if (migration === undefined) {
      const message = `The database has ${applied.length} migrations, this version knows ${known.length}: install the version that wrote it, or a newer one`
      throw new StorageError('SCHEMA_TOO_NEW', message, { details: { applied: applied.length, known: known.length } })
    }
    if (migration.hash !== hash || migration.folderMillis !== at) {
      const message = `Migration ${i} of the database is not migration ${i} of this version: it belongs to another program or was edited`
      throw new StorageError('SCHEMA_DIVERGED', message, { details: { migration: i } })
    }
  }
  return known.slice(applied.length)
}
