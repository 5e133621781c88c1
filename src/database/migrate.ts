import { StorageError } from '../errors.ts'
import type { Dialect, Driver, Execute, MigrationJournal } from './db.ts'
import { MIGRATIONS, type Migration } from './migrations.generated.ts'
import type { Row } from './query.ts'
import { repeated } from './repeated.ts'

/**
 * Brings the database to this version's schema, or with `apply` false only checks that it is there. Any number of
 * processes may do so at once, and drizzle-kit's `migrate` too: both write the same journal. Returns the migrations that it
 * applied. Safe to repeat.
 *
 * @throws {MIGRATION_PENDING} when `apply` is false and a migration is missing
 * @throws {PRIVILEGE_MISSING} when the PostgreSQL user may not read the journal, or not migrate
 * @throws {MIGRATION_FAILED} when a migration fails; nothing was changed
 * @throws {SCHEMA_TOO_NEW} when a newer version of Holdfast has migrated the database
 * @throws {SCHEMA_DIVERGED} when the journal is not the beginning of this version's history, or its tables are missing
 * @throws {TIMEOUT} when another process migrates, or uses a table that a migration changes, for too long
 */
export async function migrate(
  driver: Driver,
  { apply, known = MIGRATIONS[driver.dialect] }: { apply: boolean; known?: readonly Migration[] },
): Promise<readonly Migration[]> {
  const { journal } = driver
  const { applied, isShared, pending } = await stateOf(journal, known)
  if (applied.length === 0) await journal.checkVisible?.()
  if (pending.length > 0 && !apply) throw migrationPending(pending.length, known.length)
  if (pending.length === 0 && !(isShared && apply)) return []
  // A program that is in use may lock the tables in another order: then PostgreSQL ends one of the two.
  return repeated(
    () => applyPending(journal, known),
    (error) => driver.wasRolledBack?.(error) === true,
  )
}

async function applyPending(journal: MigrationJournal, known: readonly Migration[]): Promise<readonly Migration[]> {
  const done: Migration[] = []
  await journal.exclusively(async (execute) => {
    await journal.create(execute)
    // Read again: another process may have migrated while this one waited for the lock.
    const history = await historyOf(journal, execute, known)
    if (history.isShared) await moveHistory(journal, execute, history.applied)
    for (const migration of pendingAfter(history.applied, known)) {
      try {
        for (const sql of migration.sql) await execute(sql)
        await execute(insertInto(journal.table, { hash: migration.hash, at: migration.folderMillis }))
        done.push(migration)
      } catch (cause) {
        // It may work the next time: a table was in use, or the connection was lost. A missing privilege says enough.
        if (cause instanceof StorageError && (cause.retryable || cause.code === 'PRIVILEGE_MISSING')) throw cause
        throw new StorageError('MIGRATION_FAILED', `Migration ${known.indexOf(migration)} failed; all were undone`, {
          cause,
        })
      }
    }
  })
  return done
}

/**
 * Returns the migrations that the database lacks. Changes nothing.
 *
 * @throws {PRIVILEGE_MISSING} when the PostgreSQL user may not read the journal
 * @throws {SCHEMA_TOO_NEW} when a newer version of Holdfast has migrated the database
 * @throws {SCHEMA_DIVERGED} when the journal is not the beginning of this version's history, or its tables are missing
 */
export async function pendingMigrations({ journal, dialect }: Driver): Promise<readonly Migration[]> {
  const { applied, pending } = await stateOf(journal, MIGRATIONS[dialect])
  if (applied.length === 0) await journal.checkVisible?.()
  return pending
}

async function stateOf(journal: MigrationJournal, known: readonly Migration[]) {
  const history = await historyOf(journal, journal.read, known)
  return { ...history, pending: pendingAfter(history.applied, known) }
}

interface History {
  applied: Applied[]
  /** True if the rows are still in drizzle's default journal. */
  isShared: boolean
}

/** A table of the first migration. If it exists, the other tables exist. */
const WITNESS = '"sessions"'

/** Reads the history from the journal, or from drizzle's default journal if the journal is empty or missing. */
async function historyOf(
  { table, sharedTable, existence }: MigrationJournal,
  execute: Execute,
  known: readonly Migration[],
): Promise<History> {
  const [found = []] = await execute(existence([table, sharedTable, WITNESS]))
  const [hasJournal, hasShared, hasTables] = found.map(Boolean)
  const applied = hasJournal ? appliedOf(await execute(selectFrom(table))) : []
  if (applied.length > 0 && !hasTables && known.length > 0) throw tablesMissing(table)
  if (applied.length > 0 || !hasShared || !hasTables) return { applied, isShared: false }
  const ours = new Set(known.map(({ hash }) => hash))
  const shared = appliedOf(await execute(selectFrom(sharedTable))).filter(({ hash }) => ours.has(hash))
  return { applied: shared, isShared: shared.length > 0 }
}

/**
 * Moves our rows out of drizzle's default journal. drizzle-kit skips migrations that are older than the newest row there,
 * which may be one of ours.
 */
async function moveHistory(
  { table, sharedTable }: MigrationJournal,
  execute: Execute,
  applied: readonly Applied[],
): Promise<void> {
  for (const migration of applied) {
    await execute(insertInto(table, migration))
    await execute(`delete from ${sharedTable} where hash = '${migration.hash}'`)
  }
}

function selectFrom(table: string): string {
  return `select hash, created_at from ${table} order by created_at`
}

function insertInto(table: string, { hash, at }: Applied): string {
  return `insert into ${table} (hash, created_at) values ('${hash}', ${at})`
}

function tablesMissing(table: string): StorageError {
  const message = `The journal ${table} says that migrations are applied, but the table ${WITNESS} is not there: check the search_path, or restore the tables`
  return new StorageError('SCHEMA_DIVERGED', message)
}

/** Makes the MIGRATION_PENDING error of an SQLite file that does not exist yet. */
export function neverMigrated(file: string): StorageError {
  const message = `The database ${file} does not exist: correct database.path, or create it. To create it, ${HOW_TO_MIGRATE}`
  return new StorageError('MIGRATION_PENDING', message, { details: { pending: MIGRATIONS.sqlite.length } })
}

function migrationPending(pending: number, known: number): StorageError {
  const message = `The database lacks ${pending} of ${known} migrations: ${HOW_TO_MIGRATE}`
  return new StorageError('MIGRATION_PENDING', message, { details: { pending } })
}

const HOW_TO_MIGRATE = 'run npx holdfast migrate, open once with migrate: true, or run drizzle-kit as the README shows'

/** Returns a hash that changes with every migration, so that rows cached under another schema are not read. */
export function schemaHash(dialect: Dialect): string {
  return MIGRATIONS[dialect].at(-1)?.hash.slice(0, 12) ?? ''
}

interface Applied {
  hash: string
  at: number
}

function appliedOf(rows: readonly Row[]): Applied[] {
  return rows.map(([hash, at]) => ({ hash: String(hash), at: Number(at) }))
}

/**
 * Returns the migrations that are not applied yet.
 *
 * @throws {SCHEMA_TOO_NEW} when the journal is longer than the known history
 * @throws {SCHEMA_DIVERGED} when the journal is not the beginning of the known history
 */
function pendingAfter(applied: readonly Applied[], known: readonly Migration[]): Migration[] {
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
