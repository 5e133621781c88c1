import { count, getTableColumns, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import * as z from 'zod/mini'
import { beginAnew } from '../archive/progress-mark.ts'
import type { BlobLayer } from '../blobs/open.ts'
import { OwnedRowCache } from '../cache/owned-row-cache.ts'
import type { RowCache, RowKey } from '../cache/row-cache.ts'
import type { Database } from '../database/database.ts'
import type { Db } from '../database/db.ts'
import { OwnedDb } from '../database/owned-db.ts'
import { ofOwner } from '../database/owner.ts'
import { columnsOf } from '../database/primary-key.ts'
import { StorageError } from '../errors.ts'
import { removeLastItems } from '../repositories/lists/removal.ts'
import { truncateMessages } from '../repositories/messages/removal.ts'
import { removeFirstItems } from '../repositories/queues/removal.ts'
import { deleteQueue } from '../repositories/queues/statements.ts'
import { forgetGone } from '../repositories/search/backfill.ts'
import { cachedRowsOf, removeSession } from '../repositories/sessions/removal.ts'
import type { Tables } from '../schema/tables.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import { checkSignal } from '../validation/signal.ts'
import { parseRemoval } from './long-run.ts'
import type { EraseOptions, ScopeOptions } from './options.ts'
import type { Erasure } from './reports.ts'

/** How many rows one transaction removes. */
const BATCH_ROWS = 1000
/** How many blobs are removed at a time. Each is a transaction of its own. */
const BATCH_BLOBS = 10
/** Maximum number of rounds that remove everything, if somebody goes on writing. */
const MAX_ROUNDS = 10

const ownerSchema = z.strictObject({ ownerId: idSchema })
const ABORTED = 'The erasure was aborted by its signal: erase again'

/** A table with an owner. */
type OwnedTable = PgTable & { ownerId: PgColumn }

/** Tables whose rows are removed in batches. Those that foreign keys refer to come after those that refer to them. */
const TABLES = [
  'events',
  'approvals',
  'toolExecutions',
  'memories',
  'workspaces',
  'allowedTools',
  'checkpoints',
  'checkpointWrites',
  'checkpointValues',
] as const satisfies (keyof Tables)[]

/** Tables whose rows are cached, each with the id of the cached row. */
const CACHED_TABLES: { [K in keyof Tables]?: (row: Record<string, unknown>) => string } = {
  kv: ({ key }) => String(key),
  prompts: ({ name }) => String(name),
  toolState: ({ tool, key }) => JSON.stringify([tool, key]),
  approvalStates: ({ scope }) => String(scope),
  toolPreferences: ({ scope }) => String(scope),
}

interface EraseLayers {
  database: Database
  blobs: BlobLayer
  rowCache: RowCache
  /** Removes the values of an owner that only the cache has. */
  clearCache(owner: string): Promise<void>
  now: () => Date
}

/** Removes everything that an owner has, or counts it. See `Storage.erase`. */
export async function eraseOwner(layers: EraseLayers, owner: ScopeOptions, options: EraseOptions): Promise<Erasure> {
  const { ownerId } = parseInput(ownerSchema, owner, 'owner')
  const { dryRun, signal, onProgress } = parseRemoval(options)
  const { database, blobs } = layers
  checkSignal(signal, ABORTED)
  const rows = await countRows(layers, ownerId)
  const counted = { rows, total: totalOf(rows), logEmptied: true }
  if (dryRun) return counted
  let left = rows
  const removeAll = async () => {
    await beginAnew(database) // first, since the erasure may be killed
    // Once even if nothing is left: an erasure that was killed may have left bytes without a record.
    for (let round = 0; round < MAX_ROUNDS; round++) {
      checkSignal(signal, ABORTED)
      for await (const removed of removals(layers, ownerId)) {
        onProgress?.(removed)
        checkSignal(signal, ABORTED)
      }
      left = await countRows(layers, ownerId)
      if (totalOf(left) === 0) break
    }
    await beginAnew(database) // an import that began meanwhile has a mark
    if (database.search) await forgetGone(database)
  }
  const logEmptied = await overwriting(database, () => blobs.overwriting(removeAll))
  await layers.clearCache(ownerId)
  if (totalOf(left) > 0) {
    const message = `The owner still has rows, since somebody goes on writing them: ${JSON.stringify(left)}. Stop that, and erase again`
    throw new StorageError('INVALID_STATE', message)
  }
  return { ...counted, logEmptied }
}

/**
 * Runs `body`, and overwrites what it deletes. Returns true if the log of the database no longer holds the deleted rows, and if
 * `body`, which answers for other files, returns true as well.
 */
async function overwriting({ driver }: Database, body: () => Promise<boolean>): Promise<boolean> {
  let isGone = true
  const work = async () => {
    isGone = await body()
  }
  const isEmptied = driver.overwriting ? await driver.overwriting(work) : await work().then(() => true)
  return isEmptied && isGone
}

/** Counts the rows of an owner in every table that has some. */
async function countRows({ database, blobs }: EraseLayers, owner: string): Promise<Record<string, number>> {
  const rows: Record<string, number> = {}
  for (const [name, table] of Object.entries(database.tables)) {
    if (!isOwned(table)) continue
    const [counted] = await database.orm.select({ rows: count() }).from(table).where(ofOwner(table, owner))
    if (counted && counted.rows > 0) rows[name] = counted.rows
  }
  const records = await blobs.count(owner) // they may be in a database of their own
  if (records > 0) rows.blobs = records
  return rows
}

function isOwned(table: PgTable): table is OwnedTable {
  return 'ownerId' in getTableColumns(table)
}

function totalOf(rows: Record<string, number>): number {
  return Object.values(rows).reduce((sum, each) => sum + each, 0)
}

type Removed = { table: string; rows: number }

/** Removes everything that an owner has, and yields after each transaction. Sessions come last, when they hold little. */
async function* removals(layers: EraseLayers, owner: string): AsyncGenerator<Removed> {
  const { database, blobs } = layers
  yield* removeQueues(database, owner)
  yield* removeLists(database, owner)
  for (const name of TABLES) yield* removeRows(database, name, database.tables[name], owner)
  for (const [name, idOf] of Object.entries(CACHED_TABLES)) {
    // The name of a table, and the function that belongs to it.
    yield* removeCachedRows(layers, name as keyof typeof CACHED_TABLES, idOf, owner)
  }
  yield* removeSessions(layers, owner)
  for (let rows = BATCH_BLOBS; rows === BATCH_BLOBS; ) {
    rows = await blobs.erase(owner, BATCH_BLOBS)
    yield { table: 'blobs', rows }
  }
}

async function* removeRows(db: Db, name: string, table: OwnedTable, owner: string): AsyncGenerator<Removed> {
  const { key } = columnsOf(db.kit, table)
  const fields = Object.fromEntries(key.map((column, i) => [`k${i}`, column]))
  const some = db.orm.select(fields).from(table).where(ofOwner(table, owner)).limit(BATCH_ROWS)
  const keys = sql.join(
    key.map((column) => sql`${column}`),
    sql`, `,
  )
  const deletion = db.orm.delete(table).where(sql`(${keys}) in ${some}`).returning({ owner: table.ownerId })
  yield* inParts(name, async () => (await deletion).length)
}

/** Removes lists from their ends: if the erasure is killed, the rest of a list is still a list. */
async function* removeLists(database: Database, owner: string): AsyncGenerator<Removed> {
  const { lists } = database.tables
  const owned = new OwnedDb(database, owner)
  for (;;) {
    const some = await database.orm
      .select({ key: lists.key })
      .from(lists)
      .where(ofOwner(lists, owner))
      .limit(BATCH_ROWS)
    for (const { key } of some) {
      yield* inParts('listItems', () => removeLastItems(owned, key, BATCH_ROWS))
      yield { table: 'lists', rows: 1 }
    }
    if (some.length < BATCH_ROWS) return
  }
}

/** Removes queues with their items. No index leads from an owner to items, but one leads to queues. */
async function* removeQueues(database: Database, owner: string): AsyncGenerator<Removed> {
  const { queues: q } = database.tables
  const owned = new OwnedDb(database, owner)
  const columns = { sessionId: q.sessionId, queue: q.name }
  for (;;) {
    const some = await database.orm.select(columns).from(q).where(ofOwner(q, owner)).limit(BATCH_ROWS)
    for (const key of some) {
      yield* inParts('queueItems', () => removeFirstItems(owned, key, BATCH_ROWS))
      await deleteQueue.all(owned, key)
      yield { table: 'queues', rows: 1 }
    }
    if (some.length < BATCH_ROWS) return
  }
}

/** Calls `remove`, which removes up to `BATCH_ROWS` rows and returns their number, until it finds fewer. */
async function* inParts(table: string, remove: () => Promise<number>): AsyncGenerator<Removed> {
  for (let rows = BATCH_ROWS; rows === BATCH_ROWS; ) {
    rows = await remove()
    yield { table, rows }
  }
}

/** Removes rows that may be cached: their keys are read first, since a write announces them. */
async function* removeCachedRows(
  { database, rowCache }: EraseLayers,
  name: keyof typeof CACHED_TABLES,
  idOf: (row: Record<string, unknown>) => string,
  owner: string,
): AsyncGenerator<Removed> {
  const table: OwnedTable = database.tables[name] as Tables['kv'] // the tables of CACHED_TABLES have owners
  const { key } = columnsOf(database.kit, table)
  const names = new Set(key.map((column) => column.name))
  const cache = new OwnedRowCache(rowCache, owner)
  const fields = Object.fromEntries(
    Object.entries(getTableColumns(table)).filter(([, column]) => names.has(column.name)),
  )
  for (;;) {
    const some = await database.orm.select(fields).from(table).where(ofOwner(table, owner)).limit(BATCH_ROWS)
    if (some.length === 0) return
    const rows = some.map((row): RowKey => [name, idOf(row)])
    const keys = sql.join(
      some.map(
        (row) =>
          sql`(${sql.join(
            Object.values(row).map((value) => sql`${value}`),
            sql`, `,
          )})`,
      ),
      sql`, `,
    )
    const columns = sql.join(
      Object.values(fields).map((column) => sql`${column}`),
      sql`, `,
    )
    const isOfBatch = sql`${ofOwner(table, owner)} and (${columns}) in (values ${keys})`
    await cache.write(rows, async (db = new OwnedDb(database, owner)) => {
      await db.orm.delete(table).where(isOfBatch)
    })
    yield { table: name, rows: some.length }
    if (some.length < BATCH_ROWS) return
  }
}

/** Removes sessions with what is left in them. The messages of a long session go before it, the newest first. */
async function* removeSessions({ database, rowCache, now }: EraseLayers, owner: string): AsyncGenerator<Removed> {
  const { sessions: s } = database.tables
  const cache = new OwnedRowCache(rowCache, owner)
  const owned = new OwnedDb(database, owner)
  const columns = { id: s.id, lastSeq: s.lastSeq }
  for (;;) {
    const some = await database.orm.select(columns).from(s).where(ofOwner(s, owner)).limit(BATCH_ROWS)
    for (const { id, lastSeq } of some) {
      for (let afterSeq = lastSeq - BATCH_ROWS; afterSeq > 0; afterSeq -= BATCH_ROWS) {
        yield { table: 'messages', rows: await truncateMessages(owned, id, afterSeq, now()) }
      }
      await cache.write(cachedRowsOf(id), (db = owned) => removeSession(db, id))
      yield { table: 'sessions', rows: 1 }
    }
    if (some.length < BATCH_ROWS) return
  }
}
