import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { isLockTimeout, limitedTo } from '../../database/lock-limits.ts'
import { batch, type Call, type Results, statement } from '../../database/statement.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import type { Tables } from '../../schema/tables.ts'

/** The ids of the rows of `blob_usage`: size of all contents, number of contents, number of records. A migration inserts them. */
export const USAGE_ROWS = { bytes: 1, contents: 2, records: 3 } as const

/** The values of the counters, or of a count. */
export type Usage = Record<keyof typeof USAGE_ROWS, number>

/** How long a change of blobs waits for another one, on PostgreSQL. Longer than a frozen holder may keep the lock. */
const WAIT_MILLIS = 10_000
/** How long our own transactions may hold the lock and do nothing: they are frozen, or their machine sleeps. */
const IDLE_MILLIS = 5000

const lockUsage = (idleMillis?: number) =>
  statement((db, _: object) => {
    const { blobUsage: u } = db.tables
    const limits = limitedTo(db, { waitMillis: WAIT_MILLIS, idleMillis })
    return db.orm
      .update(u)
      .set({ used: sql`${u.used}` })
      .where(and(eq(u.id, USAGE_ROWS.bytes), limits))
  })

const LOCKS = {
  /** For a transaction that does nothing but this change: the server ends it if the program is frozen. */
  brief: lockUsage(IDLE_MILLIS),
  /** For a transaction that the program may keep open. */
  lasting: lockUsage(),
}

/** How long the lock may be held. */
export type LockUse = keyof typeof LOCKS

/**
 * Runs calls as one batch under the lock of the usage row, which is held until the transaction ends. All writers of
 * contents, reservations, records or counters take this lock first, so they are serialised and cannot deadlock.
 *
 * @throws {TIMEOUT} when another transaction holds the lock, or a row of these blobs, for too long
 */
export async function lockedBatch<const Calls extends readonly Call<unknown>[]>(
  db: Db,
  use: LockUse,
  calls: Calls,
): Promise<Results<Calls>> {
  try {
    const [, ...results] = await batch<readonly Call<unknown>[]>(db, [LOCKS[use].with({}), ...calls])
    return results as Results<Calls> // without that of the lock, they are the results of `calls`
  } catch (error) {
    throw isLockTimeout(error) ? lockHeld(error) : error
  }
}

/**
 * Runs calls that only read under the lock, so that they see what every change so far has left. A database that is read-only
 * has no lock: the calls see what is committed.
 *
 * @throws {TIMEOUT} when another transaction holds the lock for too long
 */
export async function lockedReads<const Calls extends readonly Call<unknown>[]>(
  db: Db,
  calls: Calls,
): Promise<Results<Calls>> {
  try {
    return await lockedBatch(db, 'brief', calls)
  } catch (error) {
    if (isStorageError(error, 'READ_ONLY')) return batch(db, calls)
    throw error
  }
}

function lockHeld(cause: unknown): StorageError {
  const message = `Another transaction held a lock on the blobs (the row of blob_usage, or the blob itself) for ${WAIT_MILLIS} ms; nothing was done. It may belong to an instance that is frozen, or to a transaction that does something slow after it changed a blob`
  return new StorageError('TIMEOUT', message, { cause, retryable: true })
}

/** Returns what a content adds to each of the two content counters: its size, or 1. */
export const usageOfContent = ({ blobUsage: u }: Tables, size: number) =>
  sql`case ${u.id} when ${sql.raw(String(USAGE_ROWS.bytes))} then cast(${size} as bigint) else 1 end`

/** Returns the condition that selects the two content counters. */
export const contentCounters = ({ blobUsage: u }: Tables) => inArray(u.id, [USAGE_ROWS.bytes, USAGE_ROWS.contents])

export const selectUsage = statement(({ orm, tables: { blobUsage: u } }, _: object) =>
  orm.select({ id: u.id, used: u.used }).from(u),
)

/** Returns the counters. */
export async function readUsage(db: Db): Promise<Usage> {
  const used = new Map((await selectUsage.all(db, {})).map((row) => [row.id, row.used]))
  const counter = (id: number) => used.get(id) ?? 0
  return {
    bytes: counter(USAGE_ROWS.bytes),
    contents: counter(USAGE_ROWS.contents),
    records: counter(USAGE_ROWS.records),
  }
}

/** Adds `change` to the number of records. */
export const changeRecordCount = statement(({ orm, tables: { blobUsage: u } }, arg: { change: number }) =>
  orm
    .update(u)
    .set({ used: sql`${u.used} + cast(${arg.change} as bigint)` })
    .where(eq(u.id, USAGE_ROWS.records)),
)
